// Whether the body of a scene stands where its pictures show it (spec/body_and_data.md section 11.2).
#pragma once
#include <filesystem>
#include <string>

#include "layeravatar/body/body_model.h"
#include "layeravatar/body/pose_params.h"
#include "layeravatar/io/png.h"

namespace layeravatar::prepare {

struct Alignment {
  double iou = 0;      // of the body's silhouette and the pictures' (alpha >= 128), mean over the views
  double inside = 0;   // share of the body's silhouette that lies within the pictures', mean; clothes do not lower it
  io::Image overlay;   // RGB: up to four views in a row, the body's outside parts red, its inside parts tinted
};

/// `scene` in the training layout with RGBA pictures. Throws Error(kInput) with the messages of section 15.
Alignment align(const std::filesystem::path& scene, const body::BodyModel& model, const body::PoseParams& params);

}  // namespace layeravatar::prepare
