//! What is known of an address and of a client, filled into a batch.
