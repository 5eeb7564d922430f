//! A configuration in which a program in Python has a say, before and after it has run.

use super::error::{ConfigError, ConfigErrors};
use super::load::{Start, check, complete, made_absolute, serve_paste};
use super::program;
use super::settings::{Config, Partial};
use super::values::ConfigProgram;
use rgunicorn_link::protocol::{Evaluation, Main, Program, Script};

/// Twice this leaves room in [`rgunicorn_link::LONGEST`] for the rest.
const LONGEST_ENVIRONMENT: usize = 129 * 1024;

/// A configuration of which a program in Python decides the rest.
#[derive(Debug, Clone)]
pub struct Unfinished {
    pub(super) program: ConfigProgram,
    /// What it may change.
    pub(super) weaker: Partial,
    /// What it may not.
    pub(super) stronger: Partial,
    pub(super) start: Start,
    /// What would hold if it set nothing; with a made-up application if none is named.
    pub(super) provisional: Config,
}

/// A configuration in which a program in Python has had its say.
#[derive(Debug)]
pub struct Settled {
    pub config: Config,
    /// What may be a mistake in it.
    pub warnings: Vec<String>,
}

impl Unfinished {
    /// What would hold if the program set nothing: enough to start Python with.
    pub fn provisional(&self) -> &Config {
        &self.provisional
    }

    /// Puts what the program has set where it belongs. Fails with every mistake in it.
    pub fn settle(&self, evaluation: &Evaluation) -> Result<Settled, ConfigErrors> {
        let name = match self.program.program() {
            Program::File(path)
            | Program::Script(Script {
                main: Main::File(path),
                ..
            }) => path.strip_prefix(&self.start.directory).unwrap_or(path),
            Program::Module(_) | Program::Script(_) => &evaluation.file,
        };
        let program::Contents {
            settings,
            mut errors,
            warnings,
        } = program::read(evaluation, name);
        let settings = (self.weaker.clone())
            .overlaid(settings)
            .overlaid(self.stronger.clone());
        let mut settings = made_absolute(settings, &self.start);
        if self.program.served_by_script().is_none() {
            serve_paste(&mut settings, &mut errors);
        }
        check(&settings, &self.start, &mut errors);
        errors.extend(check_length(&settings));
        let config = complete(settings, name, errors)?;
        Ok(Settled { config, warnings })
    }
}

/// Python runs already: the variables are sent to it, twice if there are hooks or `logging` is
/// configured, and not given to it when it starts.
fn check_length(settings: &Partial) -> Option<ConfigError> {
    let env = settings.env.as_ref()?;
    // As they are sent: what is no plain text takes more bytes there.
    let json = |text: &str| serde_json::Value::from(text).to_string().len();
    let variable = |(name, value): (&str, &str)| json(name) + json(value);
    let length: usize = env.iter().map(variable).sum();
    (length > LONGEST_ENVIRONMENT).then(|| ConfigError::Unusable {
        key: "env",
        origin: settings.origin("env").clone(),
        problem: format!(
            "the variables have {} KiB together, and with a configuration in Python at most {} \
             KiB are possible; put long values into files",
            length / 1024,
            LONGEST_ENVIRONMENT / 1024
        ),
    })
}
