//! Filters over the rows of a table: `Age >= 18 and Group = 'T'`. A filter's values may identify people, so a filter
//! travels off-chain; the chain holds a salted commitment to its text.

use std::fmt;
use std::str::FromStr;

use crate::name::ColumnName;
use crate::vocabulary::text_enum;

text_enum! {
    /// How a condition compares a column's value with its own.
    pub enum Comparison {
        /// Equal.
        Equal = 1 "=",
        /// Different.
        NotEqual = 2 "!=",
        /// Less.
        Less = 3 "<",
        /// Less or equal.
        LessOrEqual = 4 "<=",
        /// Greater.
        Greater = 5 ">",
        /// Greater or equal.
        GreaterOrEqual = 6 ">=",
    }
}

/// What a column's value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A finite number.
    Number(f64),
    /// Text, compared after outer blanks are taken off.
    Text(String),
}

/// One comparison; a row whose value is null never satisfies it.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The column.
    pub column: ColumnName,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub value: Value,
}

/// Conditions that must all hold; at most 16.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// The conditions, in the order written.
    pub all: Vec<Condition>,
}

/// Text that is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the filter is malformed at character {position}: {problem}; write it like: Age >= 18 and Group = 'T'")]
pub struct FilterError {
    /// Where, counted in characters from 1.
    pub position: usize,
    /// What is wrong there.
    pub problem: &'static str,
}

/// Longest text of a filter, bytes.
const FILTER_BYTES_MAX: usize = 4096;
/// Most conditions in a filter.
const CONDITIONS_MAX: usize = 16;

impl Filter {
    /// The columns that the filter reads.
    pub fn columns(&self) -> impl Iterator<Item = &ColumnName> {
        self.all.iter().map(|condition| &condition.column)
    }
}

impl fmt::Display for Filter {
    /// One text per filter: column names in double quotes, text in single quotes, quotes doubled.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, condition) in self.all.iter().enumerate() {
            if index > 0 {
                formatter.write_str(" and ")?;
            }
            let column = condition.column.as_str().replace('"', "\"\"");
            write!(formatter, "\"{column}\" {} ", condition.comparison.as_str())?;
            match &condition.value {
                Value::Number(number) => formatter.write_str(&number_text(*number))?,
                Value::Text(text) => write!(formatter, "'{}'", text.replace('\'', "''"))?,
            }
        }
        Ok(())
    }
}

/// The shortest text that reads back as the number, with an exponent where its digits would be many.
fn number_text(number: f64) -> String {
    let plain = number.to_string();
    if plain.len() <= 24 { plain } else { format!("{number:e}") }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let too_long = FilterError { position: 1, problem: "it is longer than 4096 bytes" };
        if text.len() > FILTER_BYTES_MAX {
            return Err(too_long);
        }
        let mut parser = Parser { characters: text.chars().collect(), position: 0 };
        let mut all = vec![parser.condition()?];
        while parser.keyword_and()? {
            if all.len() == CONDITIONS_MAX {
                return Err(parser.error("there are more than 16 conditions"));
            }
            all.push(parser.condition()?);
        }
        let filter = Self { all };
        // Printing adds quotes and blanks; what was read can be printed and read again.
        if filter.to_string().len() > FILTER_BYTES_MAX { Err(too_long) } else { Ok(filter) }
    }
}

/// Reads a filter from left to right; no recursion, so no input can exhaust the stack.
struct Parser {
    characters: Vec<char>,
    position: usize,
}

impl Parser {
    fn error(&self, problem: &'static str) -> FilterError {
        FilterError { position: self.position + 1, problem }
    }

    fn peek(&self) -> Option<char> {
        self.characters.get(self.position).copied()
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.position += 1;
        }
    }

    fn condition(&mut self) -> Result<Condition, FilterError> {
        Ok(Condition { column: self.column()?, comparison: self.comparison()?, value: self.value()? })
    }

    fn column(&mut self) -> Result<ColumnName, FilterError> {
        self.skip_blanks();
        let start = self.error("a column name is expected here");
        let name = if self.peek() == Some('"') { self.quoted('"')? } else { self.bare_word() };
        ColumnName::parse(&name).map_err(|_| start)
    }

    fn bare_word(&mut self) -> String {
        let start = self.position;
        while self.peek().is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.')) {
            self.position += 1;
        }
        self.characters[start..self.position].iter().collect()
    }

    /// Text between two `quote`s; a doubled quote stands for itself.
    fn quoted(&mut self, quote: char) -> Result<String, FilterError> {
        self.position += 1;
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return Err(self.error("a closing quote is missing")),
                Some(character) if character != quote => text.push(character),
                Some(_) if self.characters.get(self.position + 1) == Some(&quote) => {
                    text.push(quote);
                    self.position += 1;
                }
                Some(_) => {
                    self.position += 1;
                    return Ok(text);
                }
            }
            self.position += 1;
        }
    }

    fn comparison(&mut self) -> Result<Comparison, FilterError> {
        self.skip_blanks();
        let start = self.position;
        while self.peek().is_some_and(|character| matches!(character, '=' | '!' | '<' | '>')) {
            self.position += 1;
        }
        let sign: String = self.characters[start..self.position].iter().collect();
        sign.parse().map_err(|_| FilterError { position: start + 1, problem: "one of = != < <= > >= is expected here" })
    }

    fn value(&mut self) -> Result<Value, FilterError> {
        self.skip_blanks();
        if self.peek() == Some('\'') {
            return self.quoted('\'').map(|text| Value::Text(text.trim().to_owned()));
        }
        let start = self.position;
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')) {
            self.position += 1;
        }
        let digits: String = self.characters[start..self.position].iter().collect();
        let problem =
            FilterError { position: start + 1, problem: "a number, or text in single quotes, is expected here" };
        match digits.parse::<f64>() {
            // Negative zero equals zero but prints otherwise; one value, one text.
            Ok(number) if number.is_finite() => Ok(Value::Number(number + 0.0)),
            _ => Err(problem),
        }
    }

    fn keyword_and(&mut self) -> Result<bool, FilterError> {
        self.skip_blanks();
        if self.peek().is_none() {
            return Ok(false);
        }
        let missing = self.error("`and` or the end is expected here");
        if self.bare_word().eq_ignore_ascii_case("and") { Ok(true) } else { Err(missing) }
    }
}
