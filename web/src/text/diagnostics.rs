//! Words about the machinery.

use adem_protocol::Kernels;

pub const DIAGNOSTICS: &str = "Diagnostics";
pub const DIAGNOSTICS_COPY: &str = "Copy as text";
pub const ROW_BROWSER: &str = "Browser";
pub const ROW_PAGE: &str = "Page";
pub const ROW_ENGINE: &str = "Engine";
pub const ROW_REASON: &str = "Reason";
pub const ROW_ADAPTER: &str = "Adapter";
pub const ROW_LIMIT: &str = "Limit";
pub const ROW_FEATURES: &str = "Adapter's features";
pub const ROW_MODEL: &str = "Model";
pub const ROW_PACKAGE: &str = "Package";
pub const ROW_KEPT: &str = "Kept on this device";
pub const ROW_NOTICE: &str = "Events";
pub const ROW_PROBLEM: &str = "Problem";
pub const ROW_ADDRESS: &str = "Address";
pub const TIME_DECODE: &str = "Tokens after the first";
pub const TIME_FIRST: &str = "From navigation to first caption";
pub const ROW_KERNELS: &str = "Kernels";
pub const NONE: &str = "none";
pub const YES: &str = "yes";
pub const OFFLINE_READY: &str = "ready for use without a network";
pub const OFFLINE_NOT: &str = "needs the network";

/// What the self-test of the kernels found.
pub fn kernels(kernels: &Kernels) -> String {
    let mut text = format!("{} forms checked", kernels.checked);
    match kernels.switched_off.as_slice() {
        [] => text.push_str(", all agree with their reference"),
        off => {
            text.push_str(", switched off: ");
            text.push_str(&off.join("; "));
        }
    }
    text
}
