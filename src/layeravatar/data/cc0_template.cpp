#include "layeravatar/data/cc0_template.h"

#include <cmath>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/body/pose_params.h"

namespace layeravatar::data {
namespace {

// A number by region with a value for all others.
template <class T>
std::function<T(const std::string&)> by_region(std::map<std::string, T> values, T otherwise) {
  return [=](const std::string& region) {
    const auto it = values.find(region);
    return it == values.end() ? otherwise : it->second;
  };
}

}  // namespace

templates::SurfaceTemplate cc0_surface_template(const people::Cc0Body& body) {
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
  const float shoulder = std::abs(canonical.joints[static_cast<std::size_t>(3 * 16)]);
  const float pelvis = height(0), chest = height(9), hip = height(1), knee = height(4), ankle = height(7);

  templates::SurfaceRules rules;
  // Trunk, arms and legs (hips included) become charts of their own: they pack closer than the atlas's one sheet.
  const auto limbs = [](const std::string& region, const std::array<float, 3>& c) {
    if (region == "upper_arms" || region == "forearms") return 1;
    return region == "hips" || region == "upper_legs" || region == "lower_legs" ? (c[0] > 0 ? 2 : 3) : 0;
  };
  const auto arms = [](const std::string& region, const std::array<float, 3>&) {
    return region == "upper_arms" || region == "forearms" ? 1 : 0;
  };
  const auto sides = [](const std::string&, const std::array<float, 3>& c) { return c[0] > 0 ? 1 : 2; };
  const auto cloth = by_region<float>({}, 0.0135F);
  templates::SurfacePart skin, hair, shoes, bottom, top;
  skin.label = 1;
  skin.spacing = by_region(
      {{"eyes", 0.0022F}, {"face", 0.0045F}, {"ears", 0.006F}, {"scalp", 0.009F}, {"head", 0.009F}, {"hands", 0.008F}},
      0.0135F);
  skin.importance = by_region(
      {{"eyes", 8.0}, {"face", 4.0}, {"ears", 2.1}, {"scalp", 2.1}, {"head", 2.4}, {"neck", 1.2}, {"hands", 1.5}}, 0.9);
  skin.cut = limbs;
  hair.label = 3;
  hair.regions = {"scalp", "forehead", "ears", "neck", "torso", "upper_arms"};
  hair.keep = [=](const std::array<float, 3>& c) { return c[1] > chest - 0.12F && std::abs(c[0]) < shoulder + 0.02F; };
  hair.spacing = by_region({{"torso", 0.0145F}, {"upper_arms", 0.0145F}, {"neck", 0.012F}}, 0.009F);
  hair.importance = by_region({{"scalp", 2.0}, {"face", 2.0}, {"head", 2.0}, {"ears", 1.3}}, 0.9);
  shoes.label = 4;
  shoes.regions = {"feet", "lower_legs"};
  shoes.keep = [=](const std::array<float, 3>& c) { return c[1] < ankle + 0.5F * (knee - ankle); };
  shoes.spacing = by_region<float>({}, 0.012F);
  shoes.importance = by_region({{"feet", 1.3}}, 1.1);
  bottom.label = 5;
  bottom.regions = {"hips", "upper_legs", "lower_legs", "torso"};
  bottom.keep = [=](const std::array<float, 3>& c) { return c[1] < pelvis + 0.14F && c[1] > ankle - 0.01F; };
  bottom.spacing = cloth;
  bottom.cut = sides;
  top.label = 2;
  top.regions = {"neck", "torso", "upper_arms", "forearms", "hips", "upper_legs"};
  top.keep = [=](const std::array<float, 3>& c) { return c[1] > hip - 0.16F; };
  top.spacing = cloth;
  top.cut = arms;
  for (templates::SurfacePart* part : {&hair, &shoes, &bottom, &top}) part->drop_small_islands = true;
  rules.body = {skin};
  rules.hair_shoes = {hair, shoes};
  rules.bottom_top = {bottom, top};
  return templates::build_from_surface(in, rules);
}

templates::LayeredTemplate cc0_template(const people::Cc0Body& body) { return cc0_surface_template(body).layers; }

}  // namespace layeravatar::data
