//! Several processes: what is refused, and why.

use crate::error::TrainError;

/// Variables by which launchers tell a process how many there are.
const COUNTS: [&str; 3] = ["WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"];

/// Refuses to be one of several processes: Burn 0.22 has no collective between processes
/// (`burn::tensor::distributed` joins the devices of one), so each would train a model of its own
/// into the same folder. `variable` reads the environment.
///
/// # Errors
/// [`TrainError::Nodes`] where a launcher (torchrun, Slurm, MPI) says that there are several.
pub fn single_process(variable: impl Fn(&str) -> Option<String>) -> Result<(), TrainError> {
    for name in COUNTS {
        let Some(value) = variable(name) else {
            continue;
        };
        if value.trim().parse::<u64>().is_ok_and(|n| n > 1) {
            return Err(TrainError::Nodes {
                variable: name,
                value,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_is_allowed_and_several_are_refused_by_the_variable() {
        let with = |name: &'static str, value: &'static str| {
            single_process(move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert!(with("WORLD_SIZE", "1").is_ok());
        assert!(with("HOME", "8").is_ok());
        let message = with("SLURM_NTASKS", "8").map_err(|e| e.to_string());
        assert!(message.is_err_and(|m| m.contains("SLURM_NTASKS=8") && m.contains("--devices")));
    }
}
