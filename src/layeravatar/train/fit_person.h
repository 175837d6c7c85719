// The command `fit`: an avatar from pictures of a person, with a report. Without LibTorch in the header.
#pragma once
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "layeravatar/data/picture_files.h"

namespace layeravatar::train {

struct FitPersonOptions {
  std::filesystem::path model, params, output;  // params: unified SMPL-X parameters
  data::PictureFiles pictures;
  std::vector<std::string> use;                 // names of the pictures that are fitted, the others are held out; empty: all
  int size = 0;                                 // pixels of the pictures, a whole part of theirs; 0: the pack's, or theirs where that is not such a part
  int guided_steps = 0, steps = 150;            // of guided sampling before the optimisation (0: none), and of that
  std::uint64_t seed = 0;
};

/// Writes into the folder avatar.safetensors, sheet.png (each picture beside the fit), report.html with the course of the PSNR and report.json.
/// Returns the files. Throws Error(kConfig) for a name in `use` that no picture has and for numbers out of range, and what the readers throw; an
/// interrupted fit writes nothing and returns no files.
std::vector<std::filesystem::path> fit_person(const FitPersonOptions& options, const std::function<void(const std::string&)>& say, const std::atomic<bool>* stop);

}  // namespace layeravatar::train
