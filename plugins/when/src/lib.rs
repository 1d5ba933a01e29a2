//! Filter rows: which activities a policy means, for every detector.
