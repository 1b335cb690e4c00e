//! The settings that the checks and the guard measure by.

use password_audit::Policy;

use super::{
    client_max_iterations, expiry_warning, max_iterations, max_password_age, min_iterations,
    salt_length, server_iterations, target,
};

/// Read without SQL, because the guard works in databases that do not have the extension. `names`: what users make
/// passwords of, beside their own names.
pub(crate) fn policy(names: Vec<String>, year: i32) -> Policy {
    let server_iterations = server_iterations();
    Policy {
        client_max_iterations: client_max_iterations(),
        expiry_warning: expiry_warning(),
        max_iterations: max_iterations(),
        min_iterations: min_iterations(),
        mock_iterations: server_iterations,
        names,
        max_password_age: max_password_age(),
        salt_len: salt_length(),
        server_iterations,
        target_iterations: target(server_iterations).get().cast_signed(),
        year,
    }
}
