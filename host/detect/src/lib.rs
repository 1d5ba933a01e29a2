//! Policy files, the evaluation loop and alerts.
