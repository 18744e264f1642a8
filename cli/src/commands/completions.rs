//! `corn completions`: what a shell needs to complete the command's words.

use clap::{Args as ClapArgs, CommandFactory};
use clap_complete::Shell;

use crate::args::Args;
use crate::commands::print;
use crate::failure::Failure;

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
To install:
  bash        corn completions bash > ~/.local/share/bash-completion/completions/corn
  zsh         corn completions zsh > ~/.zfunc/_corn     with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc
  fish        corn completions fish > ~/.config/fish/completions/corn.fish
  elvish      corn completions elvish >> ~/.config/elvish/rc.elv
  powershell  corn completions powershell >> $PROFILE")]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

pub(crate) fn completions(args: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "corn", &mut script);
    print(&String::from_utf8_lossy(&script))
}
