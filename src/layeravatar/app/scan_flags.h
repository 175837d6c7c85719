// Flags of the commands that read scans and their fits.
#pragma once
#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>

#include "layeravatar/scan/scan_folder.h"

namespace layeravatar::app {

struct ScanFlags {
  std::string source = "thuman2.0";
  std::filesystem::path fits, body;
  bool refined = false;

  [[nodiscard]] scan::ScanSet set() const { return scan::scan_set_of(source); }
};

/// --source, --fits, --body.
inline void add_scan_flags(CLI::App& command, ScanFlags& flags) {
  command.add_option("--source", flags.source, "whose scans and fits: thuman2.0, thuman2.1, custom, or plain (scans that lie in the world already)");
  command.add_option("--fits", flags.fits, "folder of the fits (default: where the set has them)");
  command.add_option("--body", flags.body, "SMPL-X model, or the CC0 body made by `people body`, on which the fits are");
}

/// --refined.
inline void add_refined_flag(CLI::App& command, ScanFlags& flags) {
  command.add_flag("--refined", flags.refined, "the views are by the refined fits");
}

}  // namespace layeravatar::app
