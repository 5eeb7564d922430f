"""Behind two proxies that can be believed, one of them with headers of its own."""

workers = 1
forwarded_allow_ips = "*"
secure_scheme_headers = {"X-FORWARDED-PROTO": "https", "X-SCHEME": "https"}
forwarder_headers = "SCRIPT_NAME,REMOTE_USER"
accesslog = "access.log"
access_log_format = (
    '%({x-forwarded-for}i)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" '
    "%({host}i)s %(D)s %(L)s"
)
limit_request_line = 8190
limit_request_fields = 200
limit_request_field_size = 0
