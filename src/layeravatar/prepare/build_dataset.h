// Views, masks and fits to the release's training layout (spec/body_and_data.md sections 11.5, 11.6):
//   <out>/<id>/rgb/NAME.png  seg/NAME_{0,1}.png  pose/NAME.json  smplx/smplx_param.pkl  and the fit itself beside it
#pragma once
#include <array>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "layeravatar/scan/scan_folder.h"

namespace layeravatar::prepare {

struct BuildOptions {
  std::filesystem::path views;   // <views>/<id>/18views_3_wbg/{image,calib,seg}
  std::filesystem::path fits;    // empty: where the set has them, beside `views`; of kPlain in `views`
  std::filesystem::path output;
  scan::ScanSet set = scan::ScanSet::kThuman20;
  std::filesystem::path body;    // SMPL-X model: hands of fits, alignment; empty: neither
  bool absolute_hands = false;   // fits with 45 numbers a hand are taken as they are, without a mean hand
  bool replace = false;          // scenes that are there are built anew
  std::filesystem::path report;  // folder for alignment.json and overlays; empty: none
  double threshold = 0.7;        // scenes with a lower silhouette IoU are listed,
  double inside = 0.95;          // and those with a smaller share of the body's silhouette inside the pictures'

  /// Throws Error(kConfig) naming field, value and allowed range.
  void check() const;
};

struct SceneAlignment {
  std::string id;
  double iou = 0, inside = 0;  // see Alignment
};

struct BuildReport {
  std::vector<std::filesystem::path> built;                   // folders of scenes
  std::vector<std::string> kept;                              // ids
  std::vector<std::pair<std::string, std::string>> failed;    // id, reason
  std::vector<SceneAlignment> alignment;
  std::vector<std::string> under;                             // ids below either limit
};

/// Every scan with views that belongs to the set. A scene that was moved by `split` stays where it is. A scene that fails is reported and the rest go on.
/// Throws Error(kInput) when nothing is there, Error(kConfig) for a body that is missing where the set needs its hands.
BuildReport build_dataset(const BuildOptions& options, const std::function<void(std::size_t done, std::size_t total)>& progress = {});

/// The refined fit of scan::fit_file, of thuman2.1 the only one. For kPlain <fits>/<id>/smplx_param.npy, or .pkl: parameters in the
/// unified form (.pkl, or .npy of 175, 179 or 189 numbers) and in the views' frame.
std::filesystem::path fit_file(const BuildOptions& options, const std::string& id);

/// The release's pickle: float32 arrays of one row, `transl` and absolute hands; protocol 4.
std::string format_unified(const body::PoseParams& params);

}  // namespace layeravatar::prepare
