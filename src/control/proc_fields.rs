//! Sizes in files below `/proc/PID`, such as `status`: lines like `VmRSS:   24000 kB`.

/// The size in bytes in the first line that begins with `name`, which ends with a colon.
pub fn bytes(text: &str, name: &str) -> Option<u64> {
    number(text, name).map(|kib| kib.saturating_mul(1024))
}

/// The number in the first line that begins with `name`, which ends with a colon.
pub fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "PPid:\t70\nPss:    9000 kB\nPss_Dirty: 1 kB\nVmSwap:\n";

    #[test]
    fn a_size_is_that_of_the_line_with_its_whole_name() {
        assert_eq!(bytes(TEXT, "Pss:"), Some(9000 * 1024));
        assert_eq!(bytes(TEXT, "Pss_Dirty:"), Some(1024));
        assert_eq!(number(TEXT, "PPid:"), Some(70));
        for missing in ["Dirty:", "VmSwap:", "Rss:"] {
            assert_eq!(bytes(TEXT, missing), None);
        }
    }
}
