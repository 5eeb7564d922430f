function __rgunicorn_instances
    for file in /etc/rgunicorn/*.toml
        path basename $file | string replace -r '\.toml$' ''
    end
end

# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_rgunicornctl_global_optspecs
    string join \n i/instance= s/socket= u/user j/json V/version h/help
end

function __fish_rgunicornctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_rgunicornctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_rgunicornctl_using_subcommand
    set -l cmd (__fish_rgunicornctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -s i -l instance -d 'The server of rgunicorn@NAME.service' -r -f -a "(__rgunicorn_instances)"
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -s s -l socket -d 'The server with this control socket [default: $RUNTIME_DIRECTORY/control, else the one that runs in a terminal]' -r -F
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -s u -l user -d 'Of the sites of this user, which systemctl --user runs'
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -s j -l json -d 'Print one line of JSON, also for a failure; not for metrics'
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -s V -l version -d 'Print the version'
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -s h -l help -d 'Print this help'
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -f -a "reload" -d 'Load code and configuration anew; returns when the new workers serve'
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -f -a "upgrade" -d 'Have the installed version take over in place; returns when its workers serve'
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -f -a "status" -d 'Print one line about the state of the server'
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -f -a "workers" -d 'List the workers, with state, load and memory'
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -f -a "listeners" -d 'List the sockets the server listens on'
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -f -a "config" -d 'Print all settings the server runs with, and where each comes from'
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -f -a "stacks" -d 'Print what the threads of the worker with this number or pid are doing'
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -f -a "metrics" -d 'Print counters and the state of the server for Prometheus'
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -f -a "top" -d 'Show a server, or all of the machine, refreshed each second; q quits'
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -f -a "scale" -d 'Run N workers, N more or N fewer, until the next reload'
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -f -a "restart-worker" -d 'Replace the worker with this number or pid; returns when another serves'
complete -c rgunicornctl -n "__fish_rgunicornctl_needs_command" -f -a "stop" -d 'Let running requests finish, and stop; returns when the server has ended'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand reload" -s i -l instance -d 'The server of rgunicorn@NAME.service' -r -f -a "(__rgunicorn_instances)"
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand reload" -s s -l socket -d 'The server with this control socket [default: $RUNTIME_DIRECTORY/control, else the one that runs in a terminal]' -r -F
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand reload" -s u -l user -d 'Of the sites of this user, which systemctl --user runs'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand reload" -s j -l json -d 'Print one line of JSON, also for a failure; not for metrics'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand upgrade" -s i -l instance -d 'The server of rgunicorn@NAME.service' -r -f -a "(__rgunicorn_instances)"
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand upgrade" -s s -l socket -d 'The server with this control socket [default: $RUNTIME_DIRECTORY/control, else the one that runs in a terminal]' -r -F
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand upgrade" -s u -l user -d 'Of the sites of this user, which systemctl --user runs'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand upgrade" -s j -l json -d 'Print one line of JSON, also for a failure; not for metrics'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand status" -s i -l instance -d 'The server of rgunicorn@NAME.service' -r -f -a "(__rgunicorn_instances)"
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand status" -s s -l socket -d 'The server with this control socket [default: $RUNTIME_DIRECTORY/control, else the one that runs in a terminal]' -r -F
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand status" -s u -l user -d 'Of the sites of this user, which systemctl --user runs'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand status" -s j -l json -d 'Print one line of JSON, also for a failure; not for metrics'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand workers" -s i -l instance -d 'The server of rgunicorn@NAME.service' -r -f -a "(__rgunicorn_instances)"
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand workers" -s s -l socket -d 'The server with this control socket [default: $RUNTIME_DIRECTORY/control, else the one that runs in a terminal]' -r -F
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand workers" -s u -l user -d 'Of the sites of this user, which systemctl --user runs'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand workers" -s j -l json -d 'Print one line of JSON, also for a failure; not for metrics'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand listeners" -s i -l instance -d 'The server of rgunicorn@NAME.service' -r -f -a "(__rgunicorn_instances)"
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand listeners" -s s -l socket -d 'The server with this control socket [default: $RUNTIME_DIRECTORY/control, else the one that runs in a terminal]' -r -F
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand listeners" -s u -l user -d 'Of the sites of this user, which systemctl --user runs'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand listeners" -s j -l json -d 'Print one line of JSON, also for a failure; not for metrics'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand config" -s i -l instance -d 'The server of rgunicorn@NAME.service' -r -f -a "(__rgunicorn_instances)"
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand config" -s s -l socket -d 'The server with this control socket [default: $RUNTIME_DIRECTORY/control, else the one that runs in a terminal]' -r -F
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand config" -s u -l user -d 'Of the sites of this user, which systemctl --user runs'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand config" -s j -l json -d 'Print one line of JSON, also for a failure; not for metrics'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand stacks" -s i -l instance -d 'The server of rgunicorn@NAME.service' -r -f -a "(__rgunicorn_instances)"
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand stacks" -s s -l socket -d 'The server with this control socket [default: $RUNTIME_DIRECTORY/control, else the one that runs in a terminal]' -r -F
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand stacks" -s u -l user -d 'Of the sites of this user, which systemctl --user runs'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand stacks" -s j -l json -d 'Print one line of JSON, also for a failure; not for metrics'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand metrics" -s i -l instance -d 'The server of rgunicorn@NAME.service' -r -f -a "(__rgunicorn_instances)"
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand metrics" -s s -l socket -d 'The server with this control socket [default: $RUNTIME_DIRECTORY/control, else the one that runs in a terminal]' -r -F
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand metrics" -s u -l user -d 'Of the sites of this user, which systemctl --user runs'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand metrics" -s j -l json -d 'Print one line of JSON, also for a failure; not for metrics'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand top" -s i -l instance -d 'The server of rgunicorn@NAME.service' -r -f -a "(__rgunicorn_instances)"
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand top" -s s -l socket -d 'The server with this control socket [default: $RUNTIME_DIRECTORY/control, else the one that runs in a terminal]' -r -F
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand top" -s u -l user -d 'Of the sites of this user, which systemctl --user runs'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand top" -s j -l json -d 'Print one line of JSON, also for a failure; not for metrics'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand scale" -s i -l instance -d 'The server of rgunicorn@NAME.service' -r -f -a "(__rgunicorn_instances)"
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand scale" -s s -l socket -d 'The server with this control socket [default: $RUNTIME_DIRECTORY/control, else the one that runs in a terminal]' -r -F
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand scale" -s u -l user -d 'Of the sites of this user, which systemctl --user runs'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand scale" -s j -l json -d 'Print one line of JSON, also for a failure; not for metrics'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand restart-worker" -s i -l instance -d 'The server of rgunicorn@NAME.service' -r -f -a "(__rgunicorn_instances)"
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand restart-worker" -s s -l socket -d 'The server with this control socket [default: $RUNTIME_DIRECTORY/control, else the one that runs in a terminal]' -r -F
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand restart-worker" -s u -l user -d 'Of the sites of this user, which systemctl --user runs'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand restart-worker" -s j -l json -d 'Print one line of JSON, also for a failure; not for metrics'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand stop" -s i -l instance -d 'The server of rgunicorn@NAME.service' -r -f -a "(__rgunicorn_instances)"
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand stop" -s s -l socket -d 'The server with this control socket [default: $RUNTIME_DIRECTORY/control, else the one that runs in a terminal]' -r -F
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand stop" -s u -l user -d 'Of the sites of this user, which systemctl --user runs'
complete -c rgunicornctl -n "__fish_rgunicornctl_using_subcommand stop" -s j -l json -d 'Print one line of JSON, also for a failure; not for metrics'
