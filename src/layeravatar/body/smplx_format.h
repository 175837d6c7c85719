// Fits of SMPL-X to scans, and the one form in which training reads them (spec/body_and_data.md sections 11.1, 11.6).
#pragma once
#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layeravatar/body/pose_params.h"
#include "layeravatar/body/smplx_file.h"
#include "layeravatar/io/pickle.h"

namespace layeravatar::body {

/// Whose fit it is; the rules differ, see unify_fit.
enum class FitSource { kThuman20, kThuman21, kCustomHumans };

/// A fit as its file has it. Rotation vectors in radians, lengths in metres.
struct SmplxFit {
  std::array<float, 10> betas{}, expression{};
  std::array<float, 3> global_orient{}, jaw{}, leye{}, reye{};
  std::array<float, 63> body_pose{};
  std::vector<float> left_hand, right_hand;              // 12 principal components, or 45 numbers of 15 joints
  std::optional<std::array<double, 3>> transl;           // CustomHumans
  std::optional<std::array<double, 3>> translation;      // THuman: scan point = scale * body point + translation
  std::optional<double> scale;
};

/// Keys betas, expression, global_orient, body_pose, jaw_pose, leye_pose, reye_pose, left_hand_pose, right_hand_pose of
/// any shape with as many numbers; THuman2.0 needs `translation`, CustomHumans `transl`; other keys are left alone.
/// A file that ends in .json is JSON, any other a pickled dict of arrays. Throws Error(kInput):
/// "<file>: 'translation' is missing", "<file>: 'left_hand_pose' has n numbers; expected 12 or 45",
/// "<file>: line n, column m: <why>".
SmplxFit read_fit(const std::filesystem::path& path, FitSource source);
SmplxFit fit_from_pickle(const io::PickleValue& value, const std::string& file, FitSource source);
SmplxFit parse_fit_json(std::string_view text, const std::string& file, FitSource source);

/// What the calibration files beside the pictures say of the body.
struct Calibration {
  double scale = 1.0;              // carried along and never used
  std::array<double, 3> centre{};  // translation that the body model needs
};
/// `center` and, where it is there, `scale` of <scene>/pose/AAA_LLL.json.
Calibration parse_calibration(std::string_view text, const std::string& file);

/// The release's unified parameters: hands become absolute rotation vectors, `transl` follows from `centre`.
///
///               | hands                             | global_orient | transl
///   THuman2.0   | 12 components + mean hand         | kept          | centre
///   THuman2.1   | 45 numbers + mean hand            | zero          | centre
///   CustomHumans| 12 components, no mean            | zero          | centre + the fit's own
///
/// A hand of 12 numbers is unfolded by the components and one of 45 taken as it is, whoever made it.
PoseParams unify_fit(const SmplxFit& fit, FitSource source, const HandPca& hands, const std::array<double, 3>& centre);

/// The unified parameters of a scene: the release's pickled dict (shapes as in a fit, hands of 45, `transl`), or our .npy
/// of 175, 179 or 189 numbers. Throws Error(kInput): "<file>: SMPL-X vector has n numbers; expected 175, 179 or 189",
/// "<file>: 'left_hand_pose' has 12 numbers; run the format conversion first".
PoseParams read_unified_params(const std::filesystem::path& path);
PoseParams unified_from_pickle(const io::PickleValue& value, const std::string& file);

}  // namespace layeravatar::body
