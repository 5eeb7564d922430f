//! The unit files and the catalog.

use crate::lab::Lab;

/// The exposure that `systemd-analyze security` may find at most, in tenths.
const EXPOSURE: &str = "15";

pub fn the_units_pass_systemd_analyze_verify(lab: &Lab) {
    // The lab has no man(1), so the page that the units name cannot be found.
    let verify = "systemd-analyze verify --man=no rgunicorn@shop.service rgunicorn@shop.socket";

    assert_eq!(lab.must(verify), "");
}

pub fn the_exposure_of_the_service_is_at_most_1_5(lab: &Lab) {
    let security = "systemd-analyze security --no-pager --offline=yes --threshold";
    lab.must(&format!(
        "{security}={EXPOSURE} /usr/lib/systemd/system/rgunicorn@.service"
    ));
}

pub fn the_catalog_is_accepted(lab: &Lab) {
    assert_eq!(lab.must("journalctl --update-catalog"), "");
    assert!(
        lab.must("journalctl --no-pager --list-catalog")
            .contains("rgunicorn: ")
    );
}
