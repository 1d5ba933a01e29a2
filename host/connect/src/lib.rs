//! Sign-in, token vault, rate limiting and the fetch loop.
