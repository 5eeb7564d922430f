//! How much memory a process has of its own.
//!
//! That is what would be free without it: the pages that it shares with no other process,
//! and its part of what is swapped out. A worker shares with others the libraries and,
//! with `preload`, what it has not written to since it was forked. The resident set size counts
//! those pages in full for each worker, and the proportional set size changes when another
//! worker leaves.

use rgunicorn_control::proc_fields::bytes;
use std::fs;
use std::io;
use std::path::Path;

/// The memory of its own of the process `pid`, in bytes. Where it is certainly not more
/// than `above`, a larger number may be given that is not more, either: that costs less.
pub fn own_memory(pid: u32, above: u64) -> io::Result<u64> {
    in_folder(Path::new(&format!("/proc/{pid}")), above)
}

fn in_folder(folder: &Path, above: u64) -> io::Result<u64> {
    // For the exact number the kernel walks through all pages.
    let status = fs::read_to_string(folder.join("status"))?;
    let at_most = sum(&status, &["VmRSS:", "VmSwap:"]);
    if at_most <= above {
        return Ok(at_most);
    }
    let rollup = fs::read_to_string(folder.join("smaps_rollup"))?;
    Ok(sum(
        &rollup,
        &[
            "Private_Clean:",
            "Private_Dirty:",
            "Private_Hugetlb:",
            "SwapPss:",
        ],
    ))
}

/// The sum in bytes of the lines that begin with these names. One that is missing counts
/// as 0: a process that has ended has none.
fn sum(text: &str, names: &[&str]) -> u64 {
    (names.iter())
        .filter_map(|name| bytes(text, name))
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLLUP: &str = "\
5581-7fff ---p 00000000 00:00 0  [rollup]
Rss:              200000 kB
Pss:               90000 kB
Shared_Clean:     100000 kB
Private_Clean:      1000 kB
Private_Dirty:     60000 kB
Swap:               9000 kB
SwapPss:            4000 kB
";

    fn process(status: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("status"), status).unwrap();
        folder
    }

    #[test]
    fn what_others_share_is_not_counted_and_what_is_swapped_out_is() {
        let process = process("VmRSS:\t200000 kB\nRssAnon:\t 70000 kB\nVmSwap:\t9000 kB\n");
        fs::write(process.path().join("smaps_rollup"), ROLLUP).unwrap();

        assert_eq!(in_folder(process.path(), 0).unwrap(), 65_000 * 1024);
    }

    #[test]
    fn a_process_whose_resident_and_swapped_pages_are_few_is_not_measured_exactly() {
        let process = process("VmRSS:\t200 kB\nVmSwap:\t9 kB\n");

        assert_eq!(in_folder(process.path(), 209 * 1024).unwrap(), 209 * 1024);
        assert!(in_folder(process.path(), 208 * 1024).is_err());
    }

    #[test]
    fn the_kernel_has_the_numbers_of_this_process() {
        let own = own_memory(std::process::id(), 0).unwrap();

        assert!(own > 100 * 1024, "{own}");
    }
}
