complete -c rgunicorn -l python -d 'The Python interpreter that runs the application [default: python3]' -r -F
complete -c rgunicorn -l chdir -d 'The directory to run the application in [default: .]' -r -f -a "(__fish_complete_directories)"
complete -c rgunicorn -l pythonpath -d 'More directories to look for modules in, separated by commas' -r -f -a "(__fish_complete_directories)"
complete -c rgunicorn -s e -l env -d 'A variable for the application\'s environment; may be repeated' -r -f
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
complete -c rgunicorn -l keep-alive -d 'Seconds a kept-alive connection may wait for its next request [default: 2]' -r -f
complete -c rgunicorn -l client-timeout -d 'Seconds before a connection to a slow client is closed [default: 30]' -r -f
complete -c rgunicorn -l limit-request-line -d 'The longest request line, in bytes [default: 4094]' -r -f
complete -c rgunicorn -l limit-request-fields -d 'The most header fields in a request [default: 100]' -r -f
complete -c rgunicorn -l limit-request-field_size -d 'The longest header field, in bytes [default: 8190]' -r -f
complete -c rgunicorn -l limit-request-body -d 'The largest request body, in bytes or like 10M; 0 = no limit [default: 1073741824]' -r -f
complete -c rgunicorn -l limit-response-buffer -d 'The most of an answer kept on disk for a slow client; 0 = no limit [default: 1073741824]' -r -f
complete -c rgunicorn -l forwarded-allow-ips -d 'Proxies whose X-Forwarded headers are believed [default: 127.0.0.1,::1]' -r -f
complete -c rgunicorn -l log-level -d 'The lowest level to log: debug, info, warning, error or critical [default: info]' -r -f -a "debug\t''
info\t''
warning\t''
error\t''
critical\t''"
complete -c rgunicorn -l idle-exit -d 'Exit when there was no connection for this long; 0 = never [default: 0]' -r -f
complete -c rgunicorn -s n -l name -d 'The name of the processes in a process listing [default: the name of the application]' -r -f
complete -c rgunicorn -l control-socket -d 'The unix socket that rgunicornctl connects to [default: $RUNTIME_DIRECTORY/control under systemd, else none]' -r -F
complete -c rgunicorn -l worker-dir -d 'The folder with the worker\'s Python files and extension module [default: next to the program, /usr/lib/rgunicorn/VERSION/worker, or where pip has put it]' -r -f -a "(__fish_complete_directories)"
complete -c rgunicorn -s c -l config -d 'File to read settings from [default: ./rgunicorn.toml if it exists]' -r -F
complete -c rgunicorn -l preload -d 'Load the application once, before the workers are forked'
complete -c rgunicorn -l check-config -d 'Load the configuration and the application, report mistakes, and exit'
complete -c rgunicorn -l print-config -d 'Print the effective configuration as TOML, and exit'
complete -c rgunicorn -l explain-unit -d 'Print the file and the units that this command line, or one of Gunicorn after --, becomes'
complete -c rgunicorn -s V -l version -d 'Print the version'
complete -c rgunicorn -s h -l help -d 'Print this help'
