// Is a data set fit for training? One row per scene, and a sheet to look at.
#pragma once
#include <array>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace layeravatar::prepare {

struct SceneRow {
  std::string id;
  int views = 0, size = 0;               // size: pixels of the pictures' side
  std::array<double, 6> shares{};        // of the labels 0..5 in the silhouettes (alpha or any label)
  std::vector<std::string> problems;     // errors, each one line; empty: the scene is sound
  std::vector<std::string> thumbnails;   // PNG files in memory: pictures beside their labels, evenly chosen views
};

struct CheckOptions {
  int views = 0, size = 0;   // expected; 0: as the first scene has
  int thumbnails = 6;        // per scene, 0: none
  int thumbnail_size = 192;  // pixels of height
};

/// Every sub-folder with rgb/, sorted: counts, sizes, matrices rigid (1e-3), masks legal, parameters finite. An unreadable scene is a
/// problem of its row. Throws Error(kInput) only when there is no scene.
std::vector<SceneRow> check_dataset(const std::filesystem::path& folder, const CheckOptions& options,
                                    const std::function<void(std::size_t done, std::size_t total)>& progress = {});

/// One HTML file without outside parts: the numbers, the problems and the thumbnails of each scene.
std::string html_sheet(const std::string& title, const std::vector<SceneRow>& rows);

/// A table for terminals, one line per scene.
std::string text_table(const std::vector<SceneRow>& rows);

}  // namespace layeravatar::prepare
