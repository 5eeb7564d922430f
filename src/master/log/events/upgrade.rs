//! An upgrade in place.

use std::path::Path;
use tracing::{error, info};

pub const UPGRADE_BEGAN: &str = "6beceb3f61ec4e22adea7976462c0b3c";
pub const UPGRADED: &str = "3f1e20c5fa584999b9de29f52786852b";
pub const UPGRADE_FAILED: &str = "407e18aa5c984c119c9e4a56310d1815";

pub fn upgrade_began(program: &Path) {
    let program = program.display().to_string();
    info!(
        message_id = UPGRADE_BEGAN,
        program, "Upgrade began: {program} is tried",
    );
}

/// The program that logs this has taken over.
pub fn upgraded(from: &str, version: &str) {
    info!(
        message_id = UPGRADED,
        from,
        version,
        "rgunicorn {version} has taken over from {from}; the workers are replaced next",
    );
}

pub fn upgrade_failed(reason: &str) {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    error!(
        message_id = UPGRADE_FAILED,
        version = VERSION,
        reason,
        "Upgrade failed, rgunicorn {VERSION} continues to serve: {reason}",
    );
}
