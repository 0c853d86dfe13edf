//! The extension request.
