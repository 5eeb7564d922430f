//! What the processes of a site are told of its configuration.

use crate::config::{Config, Peers, Umask, WorkerClass};
use crate::log::events;
use crate::pool::GenerationId;
use rgunicorn_link::protocol::{
    self, AccessDestination, AccessLog, Deviation, LogDestination, PythonLog, Site, millis,
};
use std::path::Path;
use std::time::Duration;

/// What a fork server and its workers have to know of the configuration.
pub(super) fn site(generation: GenerationId, config: &Config, log: LogDestination) -> Site {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Site {
        generation: generation.0,
        surroundings: None,
        account: None,
        hooks: None,
        app: config.app.target().to_owned(),
        pythonpath: config.pythonpath.entries().to_vec(),
        preload: config.preload,
        watches_code: config.reload,
        spew: config.spew,
        sendfile: config.sendfile.is_on(),
        proc_name: config.process_name().to_owned(),
        umask: config.umask.map(Umask::bits),
        worker_class: worker_class(config),
        multiprocess: config.workers.count() > 1,
        timeout_ms: config.timeout.get().map_or(0, millis),
        request_timeout_ms: config.request_timeout.get().map_or(0, millis),
        beat_ms: beat(config),
        loglevel: config.loglevel.level(),
        marks_output: false,
        keepalive_ms: millis(config.keepalive.get()),
        client_timeout_ms: millis(config.client_timeout.get()),
        worker_connections: count(config.worker_connections.get()),
        limit_request_line: config.limit_request_line.count(),
        limit_request_fields: config.limit_request_fields.count(),
        limit_request_field_size: config.limit_request_field_size.count(),
        limit_request_body: config.limit_request_body.bytes(),
        tmp_upload_dir: config
            .tmp_upload_dir
            .as_ref()
            .map(|directory| directory.as_path().to_owned()),
        limit_response_buffer: config.limit_response_buffer.bytes(),
        health_path: config
            .health_path
            .as_ref()
            .map(|path| path.as_str().to_owned()),
        access_log: access_log(generation, config, log),
        statsd: config.statsd(),
        python_log: python_log(generation, config, log),
        configures_logging: config.configures_logging(),
        gunicorn_settings: serde_json::Map::new(),
        permitted: permitted(config),
        proxy_protocol: proxy_protocol(config),
        forwarded_allow_ips: addresses(&config.forwarded_allow_ips),
        header_map: config.header_map.rule(),
        forwarder_headers: config.forwarder_headers.all().to_vec(),
        secure_scheme_headers: config.secure_scheme_headers.all(),
    }
}

fn access_log(generation: GenerationId, config: &Config, log: LogDestination) -> Option<AccessLog> {
    let in_journal = log == LogDestination::Journal;
    let written = config.accesslog.as_ref();
    let written = written.map(|access| access.destination(in_journal));
    let sent = config.access_syslog().map(AccessDestination::Syslog);
    let destinations: Vec<_> = written.into_iter().chain(sent).collect();
    (!destinations.is_empty()).then(|| AccessLog {
        destinations,
        format: config.access_log_format.as_str().to_owned(),
        filter: config.access_log_filter.filter().clone(),
        fields: with_owned_names(events::access_fields(generation.0)),
    })
}

pub(super) fn python_log(
    generation: GenerationId,
    config: &Config,
    destination: LogDestination,
) -> PythonLog {
    PythonLog {
        destination,
        file: config.errorlog.file().map(Path::to_owned),
        level: config.loglevel.in_python(),
        fields: with_owned_names(events::application_fields(generation.0)),
        syslog: config.syslog().map(Box::new),
    }
}

fn with_owned_names(fields: Vec<(&'static str, String)>) -> Vec<(String, String)> {
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn addresses(peers: &Peers) -> Vec<String> {
    peers.all().iter().map(ToString::to_string).collect()
}

fn proxy_protocol(config: &Config) -> Option<protocol::ProxyProtocol> {
    let versions = config.proxy_protocol.versions()?;
    Some(protocol::ProxyProtocol {
        versions,
        allow_ips: addresses(&config.proxy_allow_ips),
        is_required: config.proxy_protocol_required,
    })
}

fn permitted(config: &Config) -> Vec<Deviation> {
    let switches = [
        (config.permit_obsolete_folding, Deviation::ObsoleteFolding),
        (config.strip_header_spaces, Deviation::HeaderSpaces),
        (
            config.permit_unconventional_http_method,
            Deviation::UnconventionalMethod,
        ),
        (
            config.permit_unconventional_http_version,
            Deviation::UnconventionalVersion,
        ),
        (config.casefold_http_method, Deviation::CasefoldMethod),
    ];
    let on = switches.into_iter().filter(|(is_on, _)| *is_on);
    on.map(|(_, deviation)| deviation).collect()
}

fn worker_class(config: &Config) -> protocol::WorkerClass {
    let threads = config.threads.get();
    match config.worker_class.resolve(threads) {
        WorkerClass::Sync => protocol::WorkerClass::Sync,
        WorkerClass::Gthread => protocol::WorkerClass::Gthread {
            threads: usize::try_from(threads).unwrap_or(usize::MAX),
        },
    }
}

/// Several heartbeats within the timeout, and at least one a second.
fn beat(config: &Config) -> u64 {
    let timeout = config.timeout.get().unwrap_or(Duration::MAX);
    millis((timeout / 4).clamp(Duration::from_millis(50), Duration::from_secs(1)))
}
