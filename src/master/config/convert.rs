//! `--convert`: what a configuration in Python sets, as a TOML file.

use super::hooks::kind;
use super::origin::Origin;
use super::setting::Setting;
use super::settings::Config;
use super::value::Value;
use super::values::{App, ConfigProgram};
use std::fmt::Write;

/// The settings that are not what holds anyway, and what cannot be said in TOML. What is
/// computed is what it came to be on this machine, at this time.
pub fn convert(config: &Config) -> String {
    let mut text = String::new();
    let program = config.config.as_ref().map(ConfigProgram::program);
    if let Some(program) = program {
        let _ = writeln!(
            text,
            "# What {program} came to be here. All else has its default."
        );
    }
    let said = config.values().into_iter();
    let said = said.filter(|(setting, _)| setting.key != "config");
    let mut tables = String::new();
    for (setting, value) in said.filter(|(setting, _)| is_said(config, setting)) {
        match value {
            // Behind all else: what followed it would belong to it.
            Some(toml::Value::Table(pairs)) => {
                let _ = write!(tables, "\n[{}]\n{pairs}", setting.key);
            }
            Some(value) => {
                let _ = writeln!(text, "{} = {value}", setting.key);
            }
            None => {}
        }
    }
    let nobody_says = matches!(config.origin("app"), Origin::Default);
    if let (App::OfScript(_), Some(value)) =
        (&config.app, config.config.as_ref().and_then(Value::to_toml))
    {
        let _ = writeln!(
            text,
            "config = {value}  # what it serves is the script's own"
        );
    } else if nobody_says && matches!(config.app, App::Imported(_)) {
        text.push_str("# app = \"module:callable\"  # what to serve: nothing says it\n");
    }
    let hooks = config.hooks().map(|(name, origin)| {
        format!(
            "#   {name} ({origin}): {}; keep it there, and name the file with `config`\n",
            kind(name)
        )
    });
    let ignored = config.ignored();
    let ignored = ignored
        .map(|(ignored, origin)| format!("#   {} ({origin}) {}\n", ignored.key, ignored.advice()));
    let left: String = hooks.chain(ignored).collect();
    if !left.is_empty() {
        let _ = write!(text, "\n# Not in this file:\n{left}");
    }
    text.push_str(&tables);
    text
}

/// Whether a program in Python or the command line says it.
fn is_said(config: &Config, setting: &Setting) -> bool {
    match config.origin(setting.key) {
        Origin::Program { .. } | Origin::CommandLine(_) | Origin::Arguments { .. } => true,
        Origin::Default | Origin::Installation | Origin::Environment(_) | Origin::File(_) => false,
    }
}
