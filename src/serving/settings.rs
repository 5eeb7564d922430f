//! What the master says of a site, in the engine's terms.

use rgunicorn_engine::http::{Limits, Permit, ProxyVersions};
use rgunicorn_engine::{Absence, ProxyProtocol, Settings, TrustedPeers};
use rgunicorn_link::AccessFormat;
use rgunicorn_link::protocol::{self, AccessLog, Deviation, Site};
use std::time::Duration;

pub fn settings(site: &Site) -> Settings {
    Settings {
        access_log: site.access_log.is_some() || site.statsd.is_some(),
        keeps_response_fields: access_format(site).has_response_headers(),
        keepalive: Duration::from_millis(site.keepalive_ms),
        client_timeout: Duration::from_millis(site.client_timeout_ms),
        request_timeout: request_timeout(site),
        connections: site.worker_connections.max(1),
        limits: Limits {
            line: site.limit_request_line,
            fields: site.limit_request_fields,
            field_size: site.limit_request_field_size,
            body: site.limit_request_body,
            permit: permit(&site.permitted),
        },
        body_directory: site.tmp_upload_dir.clone(),
        proxy_protocol: site.proxy_protocol.as_ref().map(proxy_protocol),
        response_on_disk: site.limit_response_buffer,
        health_path: site.health_path.clone(),
        ..Settings::default()
    }
}

pub fn request_timeout(site: &Site) -> Option<Duration> {
    let limit_ms = site.request_timeout_ms;
    (limit_ms > 0).then(|| Duration::from_millis(limit_ms))
}

/// The master has compiled it before.
pub fn access_format(site: &Site) -> AccessFormat {
    let format = site.access_log.as_ref().map(|log| log.format.as_str());
    AccessFormat::parse(format.unwrap_or_default()).unwrap_or_default()
}

/// The fields that all records of a worker have in the journal.
pub fn journal_fields(log: &AccessLog, worker: u32) -> String {
    let mut fields = String::new();
    for (name, value) in &log.fields {
        fields.extend([name, "=", value, "\n"]);
    }
    let pid = std::process::id();
    fields + &format!("WORKER={worker}\nWORKER_ID={worker}\nOBJECT_PID={pid}\n")
}

fn proxy_protocol(configured: &protocol::ProxyProtocol) -> ProxyProtocol {
    ProxyProtocol {
        versions: match configured.versions {
            protocol::ProxyVersions::V1 => ProxyVersions::V1,
            protocol::ProxyVersions::V2 => ProxyVersions::V2,
            protocol::ProxyVersions::Both => ProxyVersions::Both,
        },
        allowed: TrustedPeers::new(&configured.allow_ips),
        absence: if configured.is_required {
            Absence::Refused
        } else {
            Absence::Served
        },
    }
}

fn permit(deviations: &[Deviation]) -> Permit {
    let mut permit = Permit::NOTHING;
    for deviation in deviations {
        let switch = match deviation {
            Deviation::ObsoleteFolding => &mut permit.folded_fields,
            Deviation::HeaderSpaces => &mut permit.blanks_before_colon,
            Deviation::UnconventionalMethod => &mut permit.any_method,
            Deviation::UnconventionalVersion => &mut permit.any_version,
            Deviation::CasefoldMethod => &mut permit.upper_case_method,
        };
        *switch = true;
    }
    permit
}
