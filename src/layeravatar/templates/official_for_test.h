// The recorded template and what it was made from; test programs only.
#pragma once
#include <string>

#include "layeravatar/body/smplx_file.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/templates/official_template.h"

namespace layeravatar::templates {

inline const body::BodyModel& small_body() {
  static const body::BodyModel model = body::read_smplx_npz(LAV_GOLDEN_DIR "/body/SMPLX_NEUTRAL.npz").model;
  return model;
}

inline OfficialPaths small_paths() {
  OfficialPaths paths = official_paths(LAV_GOLDEN_DIR "/templates");
  paths.flame_masks.replace_extension(".json");
  return paths;
}

inline const OfficialSources& small_sources() {
  static const OfficialSources sources =
      read_official_sources(small_paths(), custom_sizes(small_body().vertex_count()));
  return sources;
}

inline const OfficialTemplate& small_template() {
  static const OfficialTemplate made =
      build_official_template(small_body(), small_sources(), custom_sizes(small_body().vertex_count()));
  return made;
}

inline const io::ArrayMap& recorded_template() {
  static const io::ArrayMap arrays = io::read_npz(LAV_GOLDEN_DIR "/avatar/d_template_small.npz");
  return arrays;
}

}  // namespace layeravatar::templates
