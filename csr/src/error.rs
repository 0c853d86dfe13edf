//! Why a request was refused at the border.

/// What makes a request unreadable or more than a kubelet may ask for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Placeholder until the parser is written.
    #[error("placeholder")]
    Placeholder,
}

impl ParseError {
    /// One stable word for it.
    pub fn as_str(&self) -> &'static str {
        "Placeholder"
    }
}
