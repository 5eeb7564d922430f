"""Tight limits, words instead of numbers, and lists."""

workers = "1"
timeout = "45"
keepalive = "0"
limit_request_line = 1024
limit_request_fields = 20
limit_request_field_size = 512
strip_header_spaces = False
header_map = "refuse"
permit_unconventional_http_method = False
forwarded_allow_ips = "10.0.0.0,127.0.0.1"
accesslog = "access.log"
disable_redirect_access_to_syslog = True
syslog_prefix = "shop"
syslog_facility = "local3"
syslog_addr = "unix:///dev/log#dgram"
statsd_host = "127.0.0.1:9"
statsd_prefix = "shop."
dogstatsd_tags = "env:test"
preload_app = "true"
