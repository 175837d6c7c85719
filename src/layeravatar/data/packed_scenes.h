// All scenes of a dataset in one file that is mapped instead of read: a start costs no decoding. Private.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "layeravatar/data/scene_files.h"

namespace layeravatar::data {

/// Names what a cache was made from: SHA-1 over the names, sizes and modification times of all files of the scenes.
std::string scenes_key(const std::vector<std::filesystem::path>& folders, int image_size);

/// "LAVSCN01", the length of the header as u64, the header as JSON (key, image size, scenes with their parameters,
/// views, cameras, cuts and offsets), then the pixels: of each view, colours and labels.
void write_packed_scenes(const std::filesystem::path& file, const std::vector<Scene>& scenes, const std::string& key);

/// The scenes, whose pixels lie in the mapped file; nothing if the file is missing, damaged or made from other data.
std::optional<std::vector<Scene>> map_packed_scenes(const std::filesystem::path& file, const std::string& key);

}  // namespace layeravatar::data
