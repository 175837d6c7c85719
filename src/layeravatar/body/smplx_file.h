// SMPL-X model files, .npz and .pkl (spec/body_and_data.md section 2).
#pragma once
#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "layeravatar/body/body_model.h"

namespace layeravatar::body {

struct SmplxFile {
  BodyModel model;                    // prepared
  std::vector<std::string> warnings;  // each one line, without the file's name
};

/// Reads a model of any vertex and face count on the 55 joints; an archive is an .npz, anything else without that
/// ending a pickle, whose objects are built as data only. Betas are components 0-9 of `shapedirs`; expression is 300-309, or 10-19 with a warning
/// where there are fewer than 400. Throws Error(kInput) with the messages of section 15.
SmplxFile read_smplx(const std::filesystem::path& path);
SmplxFile read_smplx_npz(const std::filesystem::path& path);

/// Hand poses of an SMPL-X file, which fits with few numbers a hand are relative to: 15 rotation vectors, radians.
struct HandPca {
  std::vector<float> left_components;   // [45, 45], a component per row
  std::vector<float> right_components;  // [45, 45]
  std::array<float, 45> left_mean{};
  std::array<float, 45> right_mean{};
};

/// `hands_componentsl`, `hands_componentsr`, `hands_meanl`, `hands_meanr`; nothing else needs them. Errors as above.
HandPca read_hand_pca(const std::filesystem::path& path);

}  // namespace layeravatar::body
