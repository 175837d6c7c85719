// Rendered views of scans to labels and masks (spec/body_and_data.md section 11.4), in the release's folders:
//   <scan>/18views_3_wbg/image/NAME.png            what is read; 18views_3/render is read too
//   <scan>/18views_3_wbg/mask/NAME_seg.npy         classes of the network, int64; NAME.npy, bool, class > 0; NAME.png, a picture to look at
//   <scan>/18views_3_wbg/new_mask/NAME.png         three equal channels with the label 0..5; new_mask_viz/NAME.png, label x 50
//   <scan>/18views_3_wbg/seg/NAME_0.png NAME_1.png the packed masks
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "layeravatar/prepare/fuse_labels.h"
#include "layeravatar/scan/scan_folder.h"

namespace layeravatar::prepare {

class PartNetwork;

/// Folders of one scan's views.
struct ViewFolders {
  std::filesystem::path root, image, calibration;
  std::vector<std::string> names;  // sorted, without ".png"
};

/// Looks for 18views_3_wbg/image and calib, then 18views_3/render and calib. Throws Error(kInput): "<scan>: expected views in
/// 18views_3_wbg/image, found 0".
ViewFolders find_views(const std::filesystem::path& scan);

/// Names of the folders in `root` that hold views, sorted; ".partial" ones are left out. Throws Error(kInput) when there are none.
std::vector<std::string> scans_with_views(const std::filesystem::path& root);

struct SegmentOptions {
  PartNetwork* network = nullptr;           // or null: labels are read
  std::filesystem::path labels;             // folder of label images NAME.png, grey or of equal channels; empty: mask/NAME_seg.npy of a network
  const Surface* surface = nullptr;         // not null: labels are fused over the views
  FuseOptions fuse;
  bool keep_classes = true;                 // writes mask/
};

struct SegmentReport {
  int views = 0;
  std::vector<std::string> warnings;
  double changed = 0;  // share of the labelled pixels that the fusion changed
};

/// One scan. `seg` appears last and whole; an older one is replaced. Outside the silhouette labels are 0. Throws Error(kInput): the
/// messages of section 15, "<file>: expected a label image of values 0..5, found v", or a surface that is not where the labels are.
SegmentReport segment_views(const std::filesystem::path& scan, const SegmentOptions& options);

/// Whether `seg` has both masks of every view.
bool has_masks(const ViewFolders& views);

/// What labels are fused on: the mesh <meshes>/<id>.obj, which lies in the views' frame, or else the scan <meshes>/<id>/, OBJ or GLB,
/// normalised by its fit (scan::scan_files), with the holes of its textures. Throws as scan::read_normalised.
Surface read_surface(const std::filesystem::path& meshes, const std::string& id, scan::ScanSet set, const std::filesystem::path& fits, bool refined,
                     const body::BodyModel* model);

/// A label image, grey or with equal colour channels. Throws Error(kInput) as above.
std::vector<std::uint8_t> read_label_image(const std::filesystem::path& file, int width, int height);

}  // namespace layeravatar::prepare
