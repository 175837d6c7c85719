// The release's three template scripts as one function (spec/body_and_data.md section 5).
#pragma once
#include <string>
#include <vector>

#include "layeravatar/body/body_model.h"
#include "layeravatar/templates/layered_template.h"
#include "layeravatar/templates/official_sources.h"

namespace layeravatar::templates {

struct OfficialTemplate {
  LayeredTemplate layers;
  std::vector<std::string> warnings;  // each one line: "<file>: ..."
};

/// From a prepared body and sources that their checks accept. Layer 0 is the canonical body, whose faces are divided in
/// four where no corner is to stay coarse; layers 1 and 2 are their meshes divided in four, with the shape and pose
/// directions of the nearest vertices of body.obj. Order of the Gaussians: divided faces, then the others, each in the
/// file's order.
///
/// Throws Error(kInput) when the body or a block has not the wanted size, or for what the checks refuse.
OfficialTemplate build_official_template(const body::BodyModel& model, const OfficialSources& sources,
                                         const OfficialSizes& sizes = {});

}  // namespace layeravatar::templates
