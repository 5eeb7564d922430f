//! Which package may depend on what: the master never on Python, HTTP never on
//! the operating system.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    env::consts::ARCH,
    process::Command,
};

/// The packages of the lock file and their dependencies.
struct Packages {
    /// A package's name, by its id.
    names: BTreeMap<String, String>,
    /// The ids of what a package needs, by its id.
    needs: BTreeMap<String, Vec<String>>,
}

impl Packages {
    fn of_this_workspace() -> Self {
        let platform = format!("{ARCH}-unknown-linux-gnu");
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked", "--offline"])
            .args(["--filter-platform", &platform])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let list = |value: &Value| value.as_array().unwrap().clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let is_normal = |dependency: &Value| {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            kinds.iter().any(|kind| kind["kind"].is_null())
        };
        Self {
            names: list(&metadata["packages"])
                .iter()
                .map(|package| (text(&package["id"]), text(&package["name"])))
                .collect(),
            needs: list(&metadata["resolve"]["nodes"])
                .iter()
                .map(|node| {
                    let needed = list(&node["deps"]);
                    let needed = needed.iter().filter(|needed| is_normal(needed));
                    (
                        text(&node["id"]),
                        needed.map(|needed| text(&needed["pkg"])).collect(),
                    )
                })
                .collect(),
        }
    }

    /// The names of all that this package needs, directly or not.
    fn below(&self, name: &str) -> BTreeSet<&str> {
        let is_it = |id: &&String| self.names[*id] == name;
        let mut left: Vec<&String> = self.names.keys().filter(is_it).collect();
        assert_eq!(left.len(), 1, "{name}");
        let mut found = BTreeSet::new();
        while let Some(id) = left.pop() {
            for needed in &self.needs[id] {
                if found.insert(needed) {
                    left.push(needed);
                }
            }
        }
        found
            .into_iter()
            .map(|id| self.names[id].as_str())
            .collect()
    }
}

#[test]
fn no_package_depends_on_what_it_must_do_without() {
    let packages = Packages::of_this_workspace();

    for (room, without) in [
        (
            "rgunicorn",
            &["pyo3", "pyo3-ffi", "tokio", "hyper", "rgunicorn-http"][..],
        ),
        ("rgunicorn-metrics", &["pyo3", "pyo3-ffi", "rgunicorn"]),
        ("rgunicorn-http", &["rustix", "nix", "libc"]),
        ("rgunicorn-engine", &["pyo3", "pyo3-ffi"]),
        ("rgunicorn-serving", &["pyo3", "pyo3-ffi"]),
    ] {
        let below = packages.below(room);
        for name in without {
            assert!(!below.contains(name), "{room} needs {name}: {below:?}");
        }
    }
    assert!(packages.below("rgunicorn-worker").contains("pyo3"));
}
