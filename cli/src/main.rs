//! `galen`: one binary, noun then verb. Data goes to stdout, everything else to stderr.

mod arguments;
mod ask;
mod command;
mod contexts;
mod error;
mod identifier;
mod new_file;
mod output;
mod plot;
mod progress;
mod rules_file;
mod session;
mod table;
mod terms;
mod time_text;

use clap::Parser as _;

use crate::arguments::Arguments;
use crate::error::{CliError, Exit};
use crate::output::Output;

fn main() -> std::process::ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are asked for and go to stdout; a closed pipe is no error.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    let output = Output::new(&arguments.global);
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("the program's threads cannot be started: {error}")))
        .and_then(|runtime| runtime.block_on(command::run(arguments, &output)));
    match result {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            output.error(&error);
            error.exit().into()
        }
    }
}
