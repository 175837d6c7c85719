// --config and --set of the commands whose settings are their flags.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace layeravatar::app {

/// A command line, without the program's name, whose `--config file.toml` and `--set key=value` have become flags in front of
/// the user's own, which win: key = value is --key=value. `train` and `evaluate` keep theirs, since they read a run's settings.
/// Throws Error(kInput) for an unreadable file, Error(kConfig) naming file and key for a setting that the command lacks
/// or a value that no flag takes.
std::vector<std::string> settings_to_flags(const CLI::App& app, const std::vector<std::string>& arguments);

}  // namespace layeravatar::app
