#include "layeravatar/avatar/release_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

#include "layeravatar/core/error.h"
#include "layeravatar/io/array.h"

namespace layeravatar::avatar {
namespace {

using Shape = std::vector<std::int64_t>;
constexpr std::int64_t kChannels = 12;        // of planes
constexpr std::size_t kNamed = 10;            // differences that a message names
constexpr std::int64_t kMostBlocks = 10 * 17;  // of in_blocks: 10 levels of up to 16 blocks and one step down

[[noreturn]] void reject(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::kInput, file + ": " + what);
}

std::int64_t channels_of(const PackConfig& config, std::size_t level) {
  return static_cast<std::int64_t>(config.unet_base_channels * config.unet_channel_factors[level]);
}

bool attends(const PackConfig& config, std::size_t level) {
  return std::any_of(config.unet_attention.begin(), config.unet_attention.end(),
                     [&](int r) { return (1 << level) == config.planes_height / r; });
}

// Collects shapes block by block.
struct Network {
  Shapes shapes;
  std::int64_t embedding;

  // A layer of weight and bias; a norm is one with a weight of one axis.
  void layer(const std::string& name, const Shape& weight) {
    shapes[name + ".weight"] = weight;
    shapes[name + ".bias"] = {weight[0]};
  }
  void res(const std::string& name, std::int64_t in, std::int64_t out) {
    layer(name + ".conv_1.0", {in});
    layer(name + ".conv_1.2", {out, in, 3, 3});
    layer(name + ".norm_with_embedding.norm", {out});
    layer(name + ".norm_with_embedding.embedding_layer.1", {2 * out, embedding});
    layer(name + ".conv_2.1", {out, out, 3, 3});
    if (in != out) layer(name + ".shortcut", {out, in, 1, 1});
  }
  void attention(const std::string& name, std::int64_t channels) {
    layer(name + ".norm", {channels});
    layer(name + ".qkv", {3 * channels, channels, 1});
    layer(name + ".proj", {channels, channels, 1});
  }
};

// First sizes of tensors; -1 for one that is missing.
struct Sizes {
  const Shapes& shapes;

  [[nodiscard]] bool has(const std::string& name) const { return shapes.contains(name); }
  [[nodiscard]] std::int64_t first(const std::string& name) const {
    const auto it = shapes.find(name);
    return it == shapes.end() || it->second.empty() ? -1 : it->second[0];
  }
  // Of three, so that one wrong tensor has no say.
  [[nodiscard]] std::int64_t median(std::array<std::string, 3> names) const {
    std::array<std::int64_t, 3> values{};
    for (std::size_t i = 0; i < 3; ++i) values[i] = first(names[i]);
    std::sort(values.begin(), values.end());
    return values[1];
  }
};

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// The whole numbers of "key = 4", "key=(12, 128)" or "'key': [12, 128]", at each place where the text has the key.
std::vector<std::vector<int>> numbers_at(std::string_view text, std::string_view key) {
  std::vector<std::vector<int>> out;
  for (std::size_t at = text.find(key); at != std::string_view::npos; at = text.find(key, at + 1)) {
    std::size_t i = at + key.size();
    if ((at > 0 && is_word(text[at - 1])) || (i < text.size() && is_word(text[i]))) continue;
    const auto skip = [&](std::string_view among) {
      while (i < text.size() && among.find(text[i]) != std::string_view::npos) ++i;
    };
    skip(" \t'\"");
    if (i >= text.size() || (text[i] != '=' && text[i] != ':')) continue;
    ++i;
    skip(" \t\r\n");
    const bool list = i < text.size() && (text[i] == '(' || text[i] == '[');
    if (list) ++i;
    std::vector<int> numbers;
    while (i < text.size()) {
      skip(" \t\r\n");
      int value = 0;
      const auto [end, error] = std::from_chars(text.data() + i, text.data() + text.size(), value);
      if (error != std::errc()) break;
      i = static_cast<std::size_t>(end - text.data());
      if (i < text.size() && (text[i] == '.' || is_word(text[i]))) {  // a real number or a word
        numbers.clear();
        break;
      }
      numbers.push_back(value);
      skip(" \t\r\n");
      if (!list || i >= text.size() || text[i] != ',') break;
      ++i;
    }
    if (!numbers.empty()) out.push_back(std::move(numbers));
  }
  return out;
}

}  // namespace

Shapes release_unet_shapes(const PackConfig& config) {
  const std::int64_t base = config.unet_base_channels;
  Network net{{}, 4 * base};
  net.layer("time_embedding.blocks.0", {4 * base, base});
  net.layer("time_embedding.blocks.2", {4 * base, 4 * base});
  const std::size_t levels = config.unet_channel_factors.size();
  std::int64_t width = channels_of(config, 0), index = 0;
  std::vector<std::int64_t> skips{width};
  net.layer("in_blocks.0.0", {width, kChannels, 3, 3});
  for (std::size_t level = 0; level < levels; ++level) {
    for (int k = 0; k < config.unet_resblocks; ++k) {
      const std::string name = fmt::format("in_blocks.{}.", ++index);
      net.res(name + "0", width, channels_of(config, level));
      width = channels_of(config, level);
      if (attends(config, level)) net.attention(name + "1", width);
      skips.push_back(width);
    }
    if (level + 1 == levels) break;
    net.layer(fmt::format("in_blocks.{}.0.downsample", ++index), {width, width, 3, 3});
    skips.push_back(width);
  }
  net.res("mid_blocks.0", width, width);
  net.attention("mid_blocks.1", width);
  net.res("mid_blocks.2", width, width);
  index = 0;
  for (std::size_t level = levels; level-- > 0;)
    for (int k = 0; k <= config.unet_resblocks; ++k) {
      const std::string name = fmt::format("out_blocks.{}.", index++);
      net.res(name + "0", width + skips.back(), channels_of(config, level));
      skips.pop_back();
      width = channels_of(config, level);
      if (attends(config, level)) net.attention(name + "1", width);
      if (level > 0 && k == config.unet_resblocks)
        net.layer(name + (attends(config, level) ? "2.conv" : "1.conv"), {width, width, 3, 3});
    }
  net.layer("out.conv", {kChannels, width, 3, 3});
  net.layer("out.gn", {width});
  return std::move(net.shapes);
}

void set_unet_from_shapes(const Shapes& shapes, const std::string& file, PackConfig& config) {
  const Sizes sizes{shapes};
  const std::int64_t embedding =
      sizes.median({"time_embedding.blocks.0.bias", "time_embedding.blocks.2.bias", "time_embedding.blocks.2.weight"});
  if (embedding <= 0 || embedding % 4 != 0 || embedding > 4 * 4096)
    reject(file, fmt::format("the denoiser's time embedding has {} channels; expected four times its base channels",
                             std::max<std::int64_t>(embedding, 0)));
  const std::int64_t base = embedding / 4;
  std::vector<std::int64_t> channels{0}, attention;
  int blocks = 0, blocks_of_first = 0;
  for (std::int64_t b = 1; b <= kMostBlocks; ++b) {
    const std::string block = fmt::format("in_blocks.{}.", b);
    const auto level = static_cast<std::int64_t>(channels.size()) - 1;
    if (sizes.has(block + "0.conv_1.2.weight") || sizes.has(block + "0.conv_2.1.weight")) {
      if (channels.back() == 0)
        channels.back() = sizes.median({block + "0.conv_1.2.bias", block + "0.conv_2.1.bias", block + "0.norm_with_embedding.norm.weight"});
      if (sizes.has(block + "1.qkv.weight") && (attention.empty() || attention.back() != level)) attention.push_back(level);
      ++blocks;
    } else if (sizes.has(block + "0.downsample.weight") || sizes.has(block + "0.downsample.bias")) {
      if (level == 0) blocks_of_first = blocks;
      channels.push_back(0);
    } else {
      break;
    }
  }
  if (channels.size() == 1) blocks_of_first = blocks;
  config.unet_base_channels = static_cast<int>(base);
  config.unet_resblocks = blocks_of_first;
  config.unet_prior_rank = 0;
  config.unet_channel_factors.clear();
  for (const std::int64_t c : channels) {
    double factor = static_cast<double>(std::max<std::int64_t>(c, 0)) / static_cast<double>(base);
    if (static_cast<std::int64_t>(static_cast<double>(base) * factor) < c) factor = std::nextafter(factor, 1e9);
    config.unet_channel_factors.push_back(factor);
  }
  config.unet_attention.clear();
  config = PackConfig::from_json(config.to_json(), file);  // the ranges
  for (const std::int64_t c : channels)
    if (c % config.unet_heads != 0)
      reject(file, fmt::format("the denoiser has a level of {} channels; expected a multiple of its {} heads", c, config.unet_heads));
  const int divisor = 1 << (channels.size() - 1);
  if (config.planes_height % divisor != 0)
    throw Error(ErrorKind::kConfig, fmt::format("planes-height = {}, must be a multiple of {} for the {} levels of {}", config.planes_height,
                                                divisor, channels.size(), file));
  for (const std::int64_t level : attention) config.unet_attention.push_back(config.planes_height >> level);
}

std::string shape_differences(const Shapes& expected, const Shapes& found) {
  std::string out;
  std::size_t named = 0;
  const auto text = [](const Shapes& shapes, const std::string& name) {
    const auto it = shapes.find(name);
    return it == shapes.end() ? std::string("none") : io::shape_text(it->second);
  };
  Shapes all = expected;
  all.insert(found.begin(), found.end());
  for (const auto& [name, shape] : all) {
    const std::string want = text(expected, name), got = text(found, name);
    if (want == got || named == kNamed) continue;
    out += fmt::format("{}{}: expected {}, found {}", named == 0 ? "" : "; ", name, want, got);
    ++named;
  }
  return out;
}

TextSettings settings_from_text(std::string_view text) {
  TextSettings out;
  for (const auto& size : numbers_at(text, "code_size"))
    if (!out.planes_height && size.size() == 3 && size[0] == kChannels && size[1] > 0 && size[1] <= 4096 && size[2] == 3 * size[1])
      out.planes_height = size[1];
  for (const auto& heads : numbers_at(text, "num_heads"))
    if (!out.heads && heads.size() == 1 && heads[0] > 0 && heads[0] <= 64) out.heads = heads[0];
  // img_size is the square of test pictures; image_size is a square's side in the decoder and a pair in the denoiser.
  for (const auto& size : numbers_at(text, "img_size"))
    if (!out.image_size && size.size() == 2 && size[0] == size[1]) out.image_size = size[0];
  for (const auto& size : numbers_at(text, "image_size"))
    if (!out.image_size && size.size() == 1) out.image_size = size[0];
  return out;
}

}  // namespace layeravatar::avatar
