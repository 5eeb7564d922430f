complete -c rgunicorn -l python -d 'The Python interpreter that runs the application [default: python3]' -r -F
complete -c rgunicorn -l chdir -d 'The directory to run the application in [default: .]' -r -f -a "(__fish_complete_directories)"
complete -c rgunicorn -l pythonpath -d 'More directories to look for modules in, separated by commas' -r -f -a "(__fish_complete_directories)"
complete -c rgunicorn -s e -l env -d 'A variable for the application\'s environment; may be repeated' -r -f
complete -c rgunicorn -l paste -d 'Serve the application that a file of PasteDeploy describes [default: none]' -r -F
complete -c rgunicorn -l paste-global -d 'A value for all sections of the file that paste names; may be repeated' -r -f
complete -c rgunicorn -s b -l bind -d 'An address to listen on; may be repeated [default: systemd\'s sockets, else 127.0.0.1:8000]' -r -f
complete -c rgunicorn -l backlog -d 'How many connections may wait to be accepted on each socket [default: 2048]' -r -f
complete -c rgunicorn -l health-path -d 'A path that is answered without the application, for a balancer [default: none]' -r -F
complete -c rgunicorn -s w -l workers -d 'How many workers to run, or auto [default: 1]' -r -f
complete -c rgunicorn -s k -l worker-class -d 'How a worker runs requests: sync, gthread or auto [default: auto]' -r -f -a "auto\t''
sync\t''
gthread\t''"
complete -c rgunicorn -l threads -d 'How many threads a worker runs requests in [default: 1]' -r -f
complete -c rgunicorn -l worker-connections -d 'The most connections that one worker holds [default: 1000]' -r -f
complete -c rgunicorn -s t -l timeout -d 'Seconds after which a worker stuck in a request is killed; 0 = never [default: 30]' -r -f
complete -c rgunicorn -l request-timeout -d 'Seconds after which a request is answered with 503; 0 = never [default: 0]' -r -f
complete -c rgunicorn -l graceful-timeout -d 'Seconds that running requests have to finish before a worker exits [default: 30]' -r -f
complete -c rgunicorn -l drain-time -d 'Seconds to serve on after TERM before the stop begins [default: 0]' -r -f
complete -c rgunicorn -l boot-timeout -d 'Seconds a worker may take to load the application; 0 = no limit [default: 300]' -r -f
complete -c rgunicorn -l surge -d 'How many additional workers may run during a reload [default: 1]' -r -f
complete -c rgunicorn -l worker-memory-max -d 'Replace a worker that has more memory of its own than this; 0 = no limit [default: 0]' -r -f
complete -c rgunicorn -l max-requests -d 'Replace a worker that has answered so many requests; 0 = never [default: 0]' -r -f
complete -c rgunicorn -l max-requests-jitter -d 'The most requests by which workers may differ in max_requests [default: 0]' -r -f
complete -c rgunicorn -l max-worker-age -d 'Replace a worker that has served for this long; 0 = never [default: 0]' -r -f
complete -c rgunicorn -l keep-alive -d 'Seconds a kept-alive connection may wait for its next request [default: 2]' -r -f
complete -c rgunicorn -l client-timeout -d 'Seconds before a connection to a slow client is closed [default: 30]' -r -f
complete -c rgunicorn -l limit-request-line -d 'The longest request line, in bytes; 0 = no limit below 1 MiB [default: 4094]' -r -f
complete -c rgunicorn -l limit-request-fields -d 'The most header fields in a request; 0 = no limit below 32768 [default: 100]' -r -f
complete -c rgunicorn -l limit-request-field_size -d 'The longest header field, in bytes; 0 = no limit below 1 MiB [default: 8190]' -r -f
complete -c rgunicorn -l limit-request-body -d 'The largest request body, in bytes or like 10M; 0 = no limit [default: 1073741824]' -r -f
complete -c rgunicorn -l tmp-upload-dir -d 'The directory for request bodies that are not kept in memory [default: $TMPDIR, else /tmp]' -r -f -a "(__fish_complete_directories)"
complete -c rgunicorn -l limit-response-buffer -d 'The most of an answer kept on disk for a slow client; 0 = no limit [default: 1073741824]' -r -f
complete -c rgunicorn -l forwarded-allow-ips -d 'Proxies whose X-Forwarded headers are believed [default: 127.0.0.1,::1]' -r -f
complete -c rgunicorn -l proxy-protocol -d 'The PROXY protocol at the start of connections: off, v1, v2 or auto [default: off]' -r -f
complete -c rgunicorn -l proxy-allow-from -d 'Proxies that may speak the PROXY protocol [default: 127.0.0.1,::1]' -r -f
complete -c rgunicorn -l secure-scheme-header -d 'The headers by which a proxy says that its client spoke TLS' -r -f
complete -c rgunicorn -l header-map -d 'What becomes of headers with an underscore: drop, refuse or dangerous [default: drop]' -r -f
complete -c rgunicorn -l forwarder-headers -d 'Headers with an underscore that a trusted proxy may send [default: SCRIPT_NAME,PATH_INFO]' -r -f
complete -c rgunicorn -l log-level -d 'The lowest level to log: debug, info, warning, error or critical [default: info]' -r -f -a "debug\t''
info\t''
warning\t''
error\t''
critical\t''"
complete -c rgunicorn -l logger-class -d 'The class of the log that hooks write to, as module.Class [default: gunicorn.glogging.Logger]' -r -f
complete -c rgunicorn -l log-config -d 'A file for Python\'s logging, as logging.config.fileConfig reads it [default: none]' -r -F
complete -c rgunicorn -l log-config-json -d 'The same as JSON, for logging.config.dictConfig [default: none]' -r -F
complete -c rgunicorn -l error-logfile -d 'A file for the server\'s own log; - = standard error, or the journal [default: -]' -r -F
complete -c rgunicorn -l access-logfile -d 'Where a line for each request goes: a file, -, or journal [default: none]' -r -F
complete -c rgunicorn -l access-logformat -d 'What a line of the access log looks like [default: %(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"]' -r -f
complete -c rgunicorn -l access-log-filter -d 'Which requests the access log has: all, errors, slow:MS, 1/N [default: all]' -r -f
complete -c rgunicorn -l log-syslog-to -d 'Where syslog listens [default: udp://localhost:514]' -r -f
complete -c rgunicorn -l log-syslog-prefix -d 'The name of the site in syslog: PREFIX in gunicorn.PREFIX.error [default: proc_name, or the name of the application]' -r -f
complete -c rgunicorn -l log-syslog-facility -d 'The facility of records in syslog, such as daemon or local0 [default: user]' -r -f
complete -c rgunicorn -l statsd-host -d 'Where StatsD listens: HOST:PORT (8125 if left out) or unix://PATH [default: none]' -r -f
complete -c rgunicorn -l statsd-prefix -d 'What the names of metrics for StatsD begin with; a dot follows' -r -f
complete -c rgunicorn -l dogstatsd-tags -d 'Tags that each metric has in the form of DogStatsD, as env:prod,site:shop' -r -f
complete -c rgunicorn -l idle-exit -d 'Exit when there was no connection for this long; 0 = never [default: 0]' -r -f
complete -c rgunicorn -s n -l name -d 'The name of the processes in a process listing [default: the name of the application]' -r -f
complete -c rgunicorn -s p -l pid -d 'A file for the master\'s process id [default: none]' -r -F
complete -c rgunicorn -l reload-extra-file -d 'More files to watch for reload, such as templates; may be repeated' -r -F
complete -c rgunicorn -s m -l umask -d 'Which permissions new files of the application do not get [default: the one that rgunicorn is started with]' -r -f
complete -c rgunicorn -s u -l user -d 'The account that the application runs in [default: under systemd an account of the site\'s own, made while it runs; else the one that starts rgunicorn]' -r -f
complete -c rgunicorn -s g -l group -d 'The group that the application runs in [default: the account\'s own group]' -r -f
complete -c rgunicorn -l control-socket -d 'The unix socket that rgunicornctl connects to [default: $RUNTIME_DIRECTORY/control under systemd, else one in $XDG_RUNTIME_DIR/rgunicorn]' -r -F
complete -c rgunicorn -l worker-dir -d 'The folder with the worker\'s Python files and extension module [default: next to the program, /usr/lib/rgunicorn/VERSION/worker, or where pip has put it]' -r -f -a "(__fish_complete_directories)"
complete -c rgunicorn -s c -l config -d 'File to read settings from: TOML, a gunicorn.conf.py, python:MODULE, or script:PATH [default: ./rgunicorn.toml if it exists, else ./gunicorn.conf.py]' -r -F
complete -c rgunicorn -l convert -d 'Print what a gunicorn.conf.py or script:PATH sets as TOML, and what cannot be said there, and exit' -r -F
complete -c rgunicorn -l preload -d 'Load the application once, before the workers are forked'
complete -c rgunicorn -l reuse-port -d 'Let other servers of the same account listen on the same port'
complete -c rgunicorn -l proxy-protocol-required -d 'Refuse connections that begin without the PROXY protocol'
complete -c rgunicorn -l permit-obsolete-folding -d 'Accept headers that go on in the next line'
complete -c rgunicorn -l strip-header-spaces -d 'Accept blanks before the colon of a header'
complete -c rgunicorn -l permit-unconventional-http-method -d 'Accept any token as a method'
complete -c rgunicorn -l permit-unconventional-http-version -d 'Accept requests of other versions than HTTP/1'
complete -c rgunicorn -l casefold-http-method -d 'Turn methods into upper case'
complete -c rgunicorn -l capture-output -d 'Write what the application prints to errorlog, too'
complete -c rgunicorn -l log-syslog -d 'Send the server\'s own log and the access log to syslog, too'
complete -c rgunicorn -l disable-redirect-access-to-syslog -d 'Do not send the access log to syslog'
complete -c rgunicorn -l enable-backlog-metric -d 'Tell StatsD each second how many connections wait to be accepted'
complete -c rgunicorn -l reload -d 'Reload when a file of the application has changed: for development'
complete -c rgunicorn -l spew -d 'Log each line of Python that a worker executes: for debugging'
complete -c rgunicorn -l no-sendfile -d 'Send files of wsgi.file_wrapper with sendfile(2); the flag: do not'
complete -c rgunicorn -s D -l daemon -d 'Serve in the background'
complete -c rgunicorn -s R -l enable-stdio-inheritance -d 'Keep standard output and error in the background'
complete -c rgunicorn -l initgroups -d 'Give the application all groups that user is a member of'
complete -c rgunicorn -l check-config -d 'Load the configuration and the application, report mistakes, and exit'
complete -c rgunicorn -l print-config -d 'Print the effective configuration as TOML, and exit'
complete -c rgunicorn -l explain-unit -d 'Print the file and the units that this command line, or one of Gunicorn after --, becomes'
complete -c rgunicorn -s V -l version -d 'Print the version'
complete -c rgunicorn -s h -l help -d 'Print this help'
