//! Wrong arguments and variables: what clap says, with invalid values in one line.

use std::error::Error as _;
use std::io::Write;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue};

use crate::cli::Cli;
use crate::show;

/// Settings of which each can be understood, and which make no sense together. Like what can't be
/// understood, they end the process with 2: another start would end the same way.
#[derive(Debug)]
pub(crate) struct Contradiction(pub(crate) String);

impl std::fmt::Display for Contradiction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Contradiction {}

/// Ends the process with what clap has to say: help, or what is wrong with the arguments.
pub(crate) fn refuse(error: &clap::Error) -> ! {
    let Some(reason) = invalid_value(error) else {
        say(error);
        std::process::exit(error.exit_code());
    };
    show::refusal(&reason);
    std::process::exit(error.exit_code());
}

/// What clap says, as it is: unless an address with a password was given where none belongs.
fn say(error: &clap::Error) {
    let said = error.render().to_string();
    if error.use_stderr() && show::discreet(&said) != said {
        let _ = write!(std::io::stderr(), "{}", show::discreet(&said));
    } else {
        let _ = error.print();
    }
}

/// An invalid value in one line, with the variable that it may come from. clap would repeat the
/// value of an address, which may hold a password.
fn invalid_value(error: &clap::Error) -> Option<String> {
    let ContextValue::String(argument) = error.get(ContextKind::InvalidArg)? else {
        return None;
    };
    let ContextValue::String(value) = error.get(ContextKind::InvalidValue)? else {
        return None;
    };
    let reason = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => source.to_string(),
        (None, Some(ContextValue::Strings(values))) => format!("give {}", values.join(" or ")),
        _ => return None,
    };
    let mut command = Cli::command();
    command.build();
    let known = find(&command, argument);
    let variable = known
        .and_then(clap::Arg::get_env)
        .map(|name| format!(" or {}", name.display()))
        .unwrap_or_default();
    let value = match known {
        Some(known) if !known.is_hide_env_values_set() => format!(" '{value}'"),
        _ => String::new(),
    };
    Some(format!(
        "invalid value{value} for {argument}{variable}: {reason}"
    ))
}

/// The argument that clap's errors call `shown`.
fn find<'a>(command: &'a clap::Command, shown: &str) -> Option<&'a clap::Arg> {
    command
        .get_arguments()
        .find(|argument| argument.to_string() == shown)
        .or_else(|| {
            command
                .get_subcommands()
                .find_map(|subcommand| find(subcommand, shown))
        })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn refused(arguments: &[&str]) -> String {
        let error = Cli::try_parse_from(arguments).unwrap_err();
        invalid_value(&error).unwrap()
    }

    #[test]
    fn an_invalid_value_is_told_in_one_line_with_its_variable() {
        let lease = refused(&["fanfare", "worker", "--lease", "1ms"]);
        assert_eq!(
            lease,
            "invalid value '1ms' for --lease <DURATION> or FANFARE_LEASE: give 500ms to 10m"
        );
        let format = refused(&["fanfare", "worker", "--log-format", "x"]);
        assert!(format.ends_with(": give auto or human or json"), "{format}");
        let listen = refused(&["fanfare", "simulate", "--listen", "x"]);
        assert!(listen.starts_with("invalid value 'x' for --listen <LISTEN>: "));
    }

    #[test]
    fn an_invalid_address_is_not_repeated() {
        for option in ["--database-url", "--redis-url", "--proxy"] {
            let refused = refused(&["fanfare", "worker", option, "x://me:hunter2@:host/"]);
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn an_invalid_token_is_not_repeated() {
        for command in ["api", "all", "demo"] {
            let refused = refused(&["fanfare", command, "--admin-token", "hunter2"]);
            assert!(!refused.contains("hunter2"), "{refused}");
            let start = "invalid value for --admin-token <TOKEN> or FANFARE_ADMIN_TOKEN: ";
            assert!(refused.starts_with(start), "{refused}");
        }
    }
}
