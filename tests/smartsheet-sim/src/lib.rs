//! A simulated Smartsheet on loopback, with a made-up company.
