//! A simulated Microsoft Entra ID on loopback.
