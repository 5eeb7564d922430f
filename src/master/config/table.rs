//! The macro that makes the configuration of a table of settings: [`Config`], which
//! has them all, [`Partial`], which has those of one source, and the list of them.
//!
//! [`Config`]: super::Config
//! [`Partial`]: super::Partial

/// What stands once or not at all in a row.
pub(super) const fn optional(given: &'static [&'static str]) -> Option<&'static str> {
    match given {
        [] => None,
        [one, ..] => Some(one),
    }
}

macro_rules! settings {
    ([] $($group:ident { $(
        $(#[doc = $help:literal])+
        $key:ident: $type:ty $(= $default:expr)?, $flags:expr, $value_name:literal, $applies:ident
            $(, variable $variable:literal)? $(, otherwise $otherwise:literal)? $(, example $example:literal)?;
    )+ })+) => {
        /// The complete configuration.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Config {
            $($($(#[doc = $help])+ pub $key: $type,)+)+
            pub(super) origins: Origins,
            pub(super) ignored: BTreeMap<&'static str, Origin>,
            pub(super) hooks: BTreeMap<&'static str, Origin>,
        }

        /// The settings of one source.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Partial {
            $($(pub(crate) $key: Option<$type>,)+)+
            origins: Origins,
            /// Settings of Gunicorn that have no effect here.
            ignored: BTreeMap<&'static str, Origin>,
            /// The hooks of a configuration in Python.
            hooks: BTreeMap<&'static str, Origin>,
        }

        /// Every setting, once. The command line, `--help`, `--print-config`,
        /// the manual pages and the example file are made from this list.
        pub static SETTINGS: &[Setting] = &[$($(Setting {
            key: stringify!($key),
            flags: &$flags,
            value_name: $value_name,
            takes: <$type as Value>::TAKES,
            group: Group::$group,
            applies: Applies::$applies,
            variable: optional(&[$($variable)?]),
            expects: <$type as Value>::expects,
            default: || {
                let default: Option<$type> = None$(.or(Some($default)))?;
                default.as_ref().and_then(Value::to_toml)
            },
            otherwise: concat!($($otherwise)?),
            example: concat!($($example)?),
            help: &[$($help),+],
        },)+)+];

        impl Partial {
            /// What holds when no source says anything.
            pub(super) fn defaults() -> Self {
                Self {
                    $($($key: None$(.or(Some($default)))?,)+)+
                    origins: Origins::default(),
                    ignored: BTreeMap::new(),
                    hooks: BTreeMap::new(),
                }
            }

            /// A hook of a configuration in Python.
            pub(super) fn hook(&mut self, name: &'static str, origin: Origin) {
                self.hooks.insert(name, origin);
            }

            /// A setting of Gunicorn that is accepted.
            pub(crate) fn ignore(&mut self, ignored: &'static Ignored, origin: Origin) {
                self.ignored.insert(ignored.key, origin);
            }

            pub(super) fn set_from_file(
                &mut self,
                setting: &'static Setting,
                value: &DeValue<'_>,
                origin: Origin,
            ) -> Result<(), Vec<Refusal>> {
                match setting.key {
                    $($(stringify!($key) => self.$key = Some(Value::from_toml(value)?),)+)+
                    _ => {}
                }
                self.origins.set(setting.key, origin);
                Ok(())
            }

            pub(super) fn set_from_variable(
                &mut self,
                setting: &'static Setting,
                value: &str,
                origin: Origin,
            ) -> Result<(), String> {
                match setting.key {
                    $($(stringify!($key) => self.$key = Some(Value::from_variable(value)?),)+)+
                    _ => {}
                }
                self.origins.set(setting.key, origin);
                Ok(())
            }

            /// From the words of the command line.
            pub(crate) fn set_from_words(
                &mut self,
                setting: &'static Setting,
                words: &[String],
                origin: Origin,
            ) -> Result<(), String> {
                match setting.key {
                    $($(stringify!($key) => self.$key = Some(Value::from_words(words)?),)+)+
                    _ => {}
                }
                self.origins.set(setting.key, origin);
                Ok(())
            }

            #[cfg(test)]
            pub(super) fn ignored_keys(&self) -> Vec<&'static str> {
                self.ignored.keys().copied().collect()
            }

            /// These settings, where `stronger` does not set others.
            #[must_use]
            pub(crate) fn overlaid(self, stronger: Self) -> Self {
                let mut origins = self.origins;
                let mut ignored = self.ignored;
                ignored.extend(stronger.ignored);
                let mut hooks = self.hooks;
                hooks.extend(stronger.hooks);
                $($(if stronger.$key.is_some() {
                    let key = stringify!($key);
                    origins.set(key, stronger.origins.get(key).clone());
                })+)+
                Self {
                    $($($key: self.$key.overlaid(stronger.$key),)+)+
                    origins,
                    ignored,
                    hooks,
                }
            }

            /// Each setting with its value; `None` when it is not set.
            pub(crate) fn values(&self) -> Vec<(&'static Setting, Option<toml::Value>)> {
                let values = [$($(self.$key.as_ref().and_then(Value::to_toml),)+)+];
                SETTINGS.iter().zip(values).collect()
            }

            pub(crate) fn origin(&self, key: &str) -> &Origin {
                self.origins.get(key)
            }

            pub(super) fn set_origin(&mut self, key: &'static str, origin: Origin) {
                self.origins.set(key, origin);
            }

            /// Fails with the key of a setting that has no default and is not set.
            pub(super) fn complete(self) -> Result<Config, &'static str> {
                Ok(Config {
                    $($($key: self.$key.ok_or(stringify!($key))?,)+)+
                    origins: self.origins,
                    ignored: self.ignored,
                    hooks: self.hooks,
                })
            }
        }

        impl Config {
            /// Each setting with its value; `None` when it is not set.
            pub fn values(&self) -> Vec<(&'static Setting, Option<toml::Value>)> {
                let values = [$($(self.$key.to_toml(),)+)+];
                SETTINGS.iter().zip(values).collect()
            }

            /// The settings that differ in `new` and need a restart to change.
            pub fn needing_restart(&self, new: &Self) -> Vec<&'static Setting> {
                let changed = [$($(self.$key != new.$key,)+)+];
                SETTINGS
                    .iter()
                    .zip(changed)
                    .filter(|(setting, changed)| *changed && setting.applies != Applies::Reload)
                    .map(|(setting, _)| setting)
                    .collect()
            }
        }
    };
}

pub(super) use settings;
