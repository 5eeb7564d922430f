//! The units themselves.

use crate::lab::Lab;

/// The most that `systemd-analyze security` may find, in tenths.
const EXPOSURE: &str = "15";

pub fn the_units_verify_clean(lab: &Lab) {
    // The lab has no man(1) to ask for the page that the units name.
    let verify = "systemd-analyze verify --man=no rgunicorn@shop.service rgunicorn@shop.socket";

    assert_eq!(lab.must(verify), "");
}

pub fn the_service_is_hardly_exposed(lab: &Lab) {
    let security = "systemd-analyze security --no-pager --offline=yes --threshold";
    lab.must(&format!(
        "{security}={EXPOSURE} /usr/lib/systemd/system/rgunicorn@.service"
    ));
}

pub fn the_catalog_is_understood(lab: &Lab) {
    assert_eq!(lab.must("journalctl --update-catalog"), "");
    assert!(
        lab.must("journalctl --no-pager --list-catalog")
            .contains("rgunicorn: ")
    );
}
