// Training views of many scans (spec/body_and_data.md sections 11.2, 11.3):
//   <out>/<id>/18views_3_wbg/image/AAA_LLL.png  calib/AAA_LLL.json  render.json
// and, where asked for, depth/AAA_LLL.npz  normal/AAA_LLL.png  ao/AAA_LLL.png  lit/AAA_LLL.png
#pragma once
#include <array>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "layeravatar/scan/scan_folder.h"

namespace layeravatar::scan {

inline constexpr const char* kViewsFolder = "18views_3_wbg";

struct RenderScansOptions {
  std::filesystem::path scans;  // a folder with one folder for each scan
  ScanSet set = ScanSet::kThuman20;
  std::filesystem::path fits;   // empty: where the set has them
  bool refined = false;         // takes the refined fits
  std::filesystem::path out;    // empty: the scans' own folders
  std::filesystem::path body;   // SMPL-X model; thuman2.1 and custom need it, thuman2.0 only for the alignment check
  int size = 1024, supersample = 2;
  bool depth = false, normals = false, ambient = false, lit = false;
  int shard = 1, shards = 1;    // of the sorted scans, every shards-th from the shard-th on
  bool again = false;           // renders what is there already as well

  /// Throws Error(kConfig) naming field, value and allowed range.
  void check() const;
};

struct RenderScansReport {
  std::vector<std::string> rendered, kept;                        // ids; kept: complete from an earlier run
  std::vector<std::pair<std::string, std::string>> failed;        // id, reason
  std::vector<std::pair<std::string, std::string>> warnings;      // id, what is odd
};

struct RenderScansProgress {
  std::size_t scan = 0, scans = 0;  // number of the scan, from 0, and how many the shard has
  std::string id;
  int views = 0, of_views = 0;      // 0 of 0 while the scan is read
};

/// Renders the shard's scans one after the other, the views of each in parallel. A scan's folder appears when it is
/// whole, so that a call can be repeated after an interruption; complete scans are kept. A scan that fails is reported
/// and the rest go on; only Error(kOutput), which concerns them all, is thrown. `progress` may be empty and is never
/// called from two threads at once; when it returns false, the run ends after the views in work, without that scan.
RenderScansReport render_scans(const RenderScansOptions& options, const std::function<bool(const RenderScansProgress&)>& progress = {});

/// One scan, already normalised, into the folder `views`. Returns false, and leaves nothing, when `progress` does.
bool write_scan_views(const std::filesystem::path& views, const ScanMesh& mesh, const std::array<double, 3>& centre,
                      const RenderScansOptions& options, const std::function<bool(int done, int total)>& progress = {});

/// Calibration of a view: {"scale": 1.0, "center": [x, y, z], "cam_param": camera to world, 4x4} and a line end.
std::string format_calibration(const geometry::Camera& camera, const std::array<float, 3>& centre);

}  // namespace layeravatar::scan
