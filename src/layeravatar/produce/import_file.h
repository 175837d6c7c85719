// The release's files as packs and avatars; no LibTorch in this header.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "layeravatar/avatar/import_report.h"

namespace layeravatar::produce {

struct ImportOptions {
  std::filesystem::path file;
  std::filesystem::path output;     // empty: the file's name with .safetensors, in the working folder
  std::filesystem::path templates;  // checkpoint: folder of template arrays instead of what it carries
  std::filesystem::path smplx;      // checkpoint: SMPL-X model instead of what it carries
  std::filesystem::path model;      // code: pack with its planes' size and statistics
  int planes_height = 0;            // checkpoint: 0 for what it says, else the release's
  int image_size = 0;               // checkpoint: the same
};

struct ImportResult {
  std::string kind;  // pack or avatar
  std::filesystem::path output;
  std::vector<int> planes;  // 12, h, 3h
  avatar::ImportReport report;
};

/// A checkpoint of torch.save becomes a pack, a code (bare tensor, save_scene dictionary or cache of training) an avatar;
/// told by content. Throws Error(kInput) for anything else and as avatar::import_release_checkpoint and
/// avatar::avatar_of_code do, Error(kUsage) for a flag that the other kind takes, Error(kOutput). Nothing is written when
/// it throws.
ImportResult import_file(const ImportOptions& options);

}  // namespace layeravatar::produce
