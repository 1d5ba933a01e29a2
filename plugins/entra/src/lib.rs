//! The adapter for Microsoft Entra ID.
