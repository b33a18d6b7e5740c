//! Passwords, and where they come from: a prompt, a file, an environment variable.

use std::env::VarError;
use std::fmt;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::error::KeyError;
use crate::private_file;

/// Longer ones are taken for a wrong file.
const MAX_PASSWORD_BYTES: usize = 1024;

/// A password; cleared from memory when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a text as password.
    ///
    /// # Errors
    /// [`KeyError::Password`] when it is empty or longer than 1,024 bytes.
    pub fn new(text: String) -> Result<Self, KeyError> {
        let text = Zeroizing::new(text);
        if text.is_empty() {
            return Err(KeyError::Password("the password is empty; choose one".to_owned()));
        }
        if text.len() > MAX_PASSWORD_BYTES {
            return Err(KeyError::Password(format!("the password is longer than {MAX_PASSWORD_BYTES} bytes")));
        }
        Ok(Self(text))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(secret)")
    }
}

/// Where a password comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// Asked for on the terminal, without showing it.
    Prompt,
    /// The content of a file that only its owner can read, without the line break at its end.
    File(PathBuf),
    /// An environment variable of this name.
    Environment(String),
}

impl PasswordSource {
    /// The password of existing keys. `question` is shown at a prompt, e.g. "Password of alice@harlem: ".
    ///
    /// # Errors
    /// [`KeyError::Password`] when there is none or it is unusable (also: no terminal to ask on), or when its file
    /// cannot be read or is open to other users.
    pub fn read(&self, question: &str) -> Result<Password, KeyError> {
        match self {
            Self::Prompt => prompt(question),
            Self::File(path) => {
                let content = private_file::read(path, MAX_PASSWORD_BYTES as u64 + 2)?;
                let text = std::str::from_utf8(&content)
                    .map_err(|_| KeyError::Password(format!("{} is no text in UTF-8", path.display())))?;
                let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
                Password::new(line.to_owned())
            }
            Self::Environment(variable) => match std::env::var(variable) {
                Ok(text) => Password::new(text),
                // The error's own text would show the value.
                Err(VarError::NotUnicode(_)) => {
                    Err(KeyError::Password(format!("the environment variable {variable} is no text in UTF-8")))
                }
                Err(VarError::NotPresent) => {
                    Err(KeyError::Password(format!("the environment variable {variable} is not set; set it")))
                }
            },
        }
    }

    /// The password of new keys: a prompt asks twice.
    ///
    /// # Errors
    /// As [`PasswordSource::read`], and when the two answers differ.
    pub fn read_new(&self, question: &str) -> Result<Password, KeyError> {
        let password = self.read(question)?;
        if *self == Self::Prompt && prompt("Again: ")? != password {
            return Err(KeyError::Password("the two passwords differ; start again".to_owned()));
        }
        Ok(password)
    }
}

fn prompt(question: &str) -> Result<Password, KeyError> {
    if !std::io::stdin().is_terminal() {
        return Err(KeyError::Password(
            "there is no terminal to ask for a password on; give it by a file or an environment variable".to_owned(),
        ));
    }
    let text = rpassword::prompt_password(question)
        .map_err(|error| KeyError::Password(format!("asking for the password failed: {error}")))?;
    Password::new(text)
}
