#include "layeravatar/avatar/pack_config.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "layeravatar/core/error.h"

namespace layeravatar::avatar {
namespace {

using Json = nlohmann::ordered_json;

[[noreturn]] void reject(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::kInput, file + ": " + what);
}

}  // namespace

std::string PackConfig::to_json() const {
  Json out{{"profile", profile},
           {"image-size", image_size},
           {"planes-height", planes_height},
           {"unet-base-channels", unet_base_channels},
           {"unet-channel-factors", unet_channel_factors},
           {"unet-resblocks", unet_resblocks},
           {"unet-heads", unet_heads},
           {"unet-attention", unet_attention},
           {"unet-prior-rank", unet_prior_rank},
           {"provenance", provenance}};
  if (!attributes.empty()) out["attributes"] = Json::parse(avatar::to_json(attributes));
  return out.dump();
}

PackConfig PackConfig::from_json(const std::string& text, const std::string& file) {
  PackConfig c;
  const auto check = [&](const char* name, double value, double low, double high) {
    if (!(value >= low && value <= high))
      reject(file, fmt::format("pack configuration: {} = {}; expected {}..{}", name, value, low, high));
  };
  // Checked as a double: a number that no int holds has no conversion to one.
  const auto whole = [&](const char* name, const Json& value, int& out, int low, int high) {
    if (!value.is_number_integer())
      reject(file, fmt::format("pack configuration: {}: expected a whole number, found {}", name, value.type_name()));
    check(name, value.get<double>(), low, high);
    out = value.get<int>();
  };
  try {
    const Json json = Json::parse(text);
    json.at("profile").get_to(c.profile);
    whole("image-size", json.at("image-size"), c.image_size, 16, 8192);
    whole("planes-height", json.at("planes-height"), c.planes_height, 4, 4096);
    whole("unet-base-channels", json.at("unet-base-channels"), c.unet_base_channels, 2, 4096);
    json.at("unet-channel-factors").get_to(c.unet_channel_factors);
    whole("unet-resblocks", json.at("unet-resblocks"), c.unet_resblocks, 1, 16);
    whole("unet-heads", json.at("unet-heads"), c.unet_heads, 1, 64);
    const Json& attention = json.at("unet-attention");
    if (!attention.is_array()) reject(file, fmt::format("pack configuration: unet-attention: expected a list, found {}", attention.type_name()));
    c.unet_attention.clear();
    for (const Json& entry : attention) whole("unet-attention", entry, c.unet_attention.emplace_back(), 1, 4096);
    if (json.contains("unet-prior-rank")) whole("unet-prior-rank", json["unet-prior-rank"], c.unet_prior_rank, 0, 4096);
    if (json.contains("attributes")) c.attributes = vocabulary_from_json(json["attributes"].dump(-1, ' ', false, Json::error_handler_t::replace), file);
    json.at("provenance").get_to(c.provenance);
  } catch (const Json::exception& e) {
    reject(file, fmt::format("pack configuration: {}", e.what()));
  }
  check("length of unet-channel-factors", static_cast<double>(c.unet_channel_factors.size()), 1, 10);
  for (const double factor : c.unet_channel_factors) check("unet-channel-factors", factor, 0.01, 100);
  return c;
}

}  // namespace layeravatar::avatar
