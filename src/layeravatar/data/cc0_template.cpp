#include "layeravatar/data/cc0_template.h"

#include "layeravatar/body/joint_names.h"
#include "layeravatar/body/pose_params.h"
#include "layeravatar/templates/surface_template.h"

namespace layeravatar::data {

templates::LayeredTemplate cc0_template(const people::Cc0Body& body) {
  const body::PosedBody canonical = body::pose(body.model, body::canonical_pose());
  templates::SurfaceInput in;
  in.vertices = canonical.vertices;
  in.triangles.assign(body.model.faces.begin(), body.model.faces.end());
  in.uvs = body.uvs;
  in.uv_triangles = body.uv_faces;
  in.visible = body.visible_faces;
  in.shape_dirs = body.model.shapedirs;
  in.weights = body.model.weights;
  in.regions = body.regions;
  const auto height = [&](int joint) { return canonical.joints[static_cast<std::size_t>(3 * joint + 1)]; };
  const float pelvis = height(0), chest = height(9), hip = height(1), knee = height(4), ankle = height(7);

  templates::SurfaceRules rules;
  rules.thinned = {"hands", "feet", "ears"};
  rules.thin_spacing = 0.006;
  rules.body = {{1, {}, {}, [](const std::string& r) {
                   return r == "eyes" || r == "face" || r == "ears" ? 0.0045F : r == "scalp" || r == "head" ? 0.009F
                          : r == "torso" || r == "hips" || r == "upper_legs"        ? 0.017F
                                                                                    : 0.012F;
                 },
                 [](const std::string& r) {
                   return r == "eyes" ? 3.0 : r == "face" || r == "scalp" || r == "head" ? 1.35 : r == "hands" ? 0.8 : r == "feet" ? 0.6 : 0.75;
                 }}};
  const auto cloth = [](const std::string&) { return 0.0115F; };
  rules.hair_shoes = {
      {3, {"scalp", "forehead", "ears", "neck", "torso"}, [=](const std::array<float, 3>& c) { return c[1] > chest - 0.12F; },
       [](const std::string& r) { return r == "torso" || r == "neck" ? 0.015F : 0.008F; },
       [](const std::string& r) { return r == "scalp" || r == "face" || r == "head" ? 1.6 : r == "feet" ? 1.6 : 0.9; }},
      {4, {"feet", "lower_legs"}, [=](const std::array<float, 3>& c) { return c[1] < ankle + 0.5F * (knee - ankle); },
       [](const std::string&) { return 0.012F; }, {}}};
  rules.bottom_top = {
      {5, {"hips", "upper_legs", "lower_legs", "torso"},
       [=](const std::array<float, 3>& c) { return c[1] < pelvis + 0.14F && c[1] > ankle - 0.01F; }, cloth, {}},
      {2, {"neck", "torso", "upper_arms", "forearms", "hips", "upper_legs"},
       [=](const std::array<float, 3>& c) { return c[1] > hip - 0.12F; }, cloth, {}}};
  return templates::build_from_surface(in, rules);
}

}  // namespace layeravatar::data
