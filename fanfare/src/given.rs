//! Whether an option was given, which its value does not tell where it has a default.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, FromArgMatches};

/// Whether somebody chose the API's address, be it the usual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenGiven(pub(crate) bool);

/// No option of its own.
impl Args for ListenGiven {
    fn augment_args(command: clap::Command) -> clap::Command {
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        command
    }
}

impl FromArgMatches for ListenGiven {
    fn from_arg_matches(read: &ArgMatches) -> Result<Self, clap::Error> {
        let source = read.value_source("listen");
        Ok(Self(
            source.is_some_and(|it| it != ValueSource::DefaultValue),
        ))
    }

    fn update_from_arg_matches(&mut self, read: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(read)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::options::ListenOptions;

    #[derive(Parser)]
    struct Parsed {
        #[command(flatten)]
        listen: ListenOptions,
    }

    #[test]
    fn it_is_known_whether_the_apis_address_was_given() {
        let usual = "127.0.0.1:8080";
        let given = Parsed::parse_from(["fanfare", "--listen", usual]).listen;
        assert_eq!(
            (given.listen.to_string().as_str(), given.given.0),
            (usual, true)
        );
        let not_given = Parsed::parse_from(["fanfare"]).listen;
        assert_eq!((not_given.listen, not_given.given.0), (given.listen, false));
    }
}
