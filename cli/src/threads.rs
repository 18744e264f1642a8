//! Keeps candle's process-wide pool of threads out of the way.
//!
//! candle runs its quantised products on one pool for the whole process, whose threads spin while
//! they wait: with several models at work, or on a busy machine, decoding slows down tenfold. With
//! one thread there, each model works on the threads that its component declares (`needs cpu n`).
//! The pool's size is read from the environment when it is first used, and a running program
//! cannot change its environment safely, so the command starts itself anew with the variable set.

/// Begins anew with candle's pool at one thread, unless the variable says something already.
pub(crate) fn settle() {
    #[cfg(all(unix, feature = "candle"))]
    {
        use std::os::unix::process::CommandExt;

        let variable = corn_executors::candle::CANDLE_THREADS_VARIABLE;
        if std::env::var_os(variable).is_some() {
            return;
        }
        if let Ok(program) = std::env::current_exe() {
            // Returns only if it fails; then the answers are the same, only slower.
            let _ = std::process::Command::new(program)
                .args(std::env::args_os().skip(1))
                .env(variable, "1")
                .exec();
        }
    }
}
