// info: what is in a file we read
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "layeravatar/app/command.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/bvh.h"
#include "layeravatar/io/jpeg.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/io/png.h"
#include "layeravatar/io/safetensors.h"
#include "layeravatar/io/torch_file.h"

namespace layeravatar::app {
namespace {
constexpr std::size_t kMaxText = 60;  // of a text that is shown

// "-0.5..2.25, mean 0.1", from the finite elements; integers and booleans too.
std::string statistics(const io::Array& array) {
  double low = 0;
  double high = 0;
  double sum = 0;
  std::size_t finite = 0;
  const auto add = [&](double value) {
    if (!std::isfinite(value)) return;
    low = finite == 0 ? value : std::min(low, value);
    high = finite == 0 ? value : std::max(high, value);
    sum += value;
    ++finite;
  };
  if (array.dtype == io::DType::kF64) {
    for (const double value : array.at<double>()) add(value);
  } else {
    for (const float value : io::to_floats(array)) add(value);
  }
  std::string text;
  if (finite > 0) text = fmt::format("{:.6g}..{:.6g}, mean {:.6g}", low, high, sum / static_cast<double>(finite));
  if (finite < array.count()) text += fmt::format("{}{} not finite", finite > 0 ? ", " : "", array.count() - finite);
  return text;
}

void show(const std::string& name, const io::Array& array) {
  std::puts(fmt::format("{:60} {:5} {:20} {}", printable(name), io::name_of(array.dtype), io::shape_text(array.shape), statistics(array)).c_str());
}

// The beginning of a text on one line.
std::string shorten(std::string_view text) {
  std::string out(text.substr(0, kMaxText));
  while (text.size() > kMaxText && !out.empty() && (static_cast<unsigned char>(out.back()) & 0xC0U) == 0x80U) out.pop_back();
  return "\"" + printable(out) + "\"" + (text.size() > kMaxText ? fmt::format("... ({} bytes)", text.size()) : "");
}

std::string describe(const io::PickleValue& value) {
  using Kind = io::PickleValue::Kind;
  switch (value.kind()) {
    case Kind::kNone: return "none";
    case Kind::kBool: return value.boolean() ? "true" : "false";
    case Kind::kInteger: return std::to_string(value.integer());
    case Kind::kReal: return fmt::format("{:.9g}", value.real());
    case Kind::kText: return shorten(value.text());
    case Kind::kBytes: return fmt::format("{} bytes", value.bytes().size());
    case Kind::kObject: return std::string(value.class_name());
    default: return std::string("empty ") + io::name_of(value.kind());
  }
}

void show(const io::PickleValue& content) {
  io::for_each_leaf(content, [](const std::string& path, const io::PickleValue& leaf) {
    const std::string name = path.empty() ? "(the file)" : path;
    if (leaf.is(io::PickleValue::Kind::kArray)) show(name, leaf.array());
    else std::puts(fmt::format("{:60} {}", printable(name), describe(leaf)).c_str());
  });
}

}  // namespace

void add_info(CLI::App& app, const Common&, Chosen& chosen) {
  auto* command = app.add_subcommand("info",
      "Show what is in a file (.safetensors, .npz, .npy, .pth, .pt, .pkl, .png, .jpg, .bvh): names, types, sizes, smallest, largest and mean "
                                             "values. Nothing that a file holds is executed.\nExample: layeravatar info models/default.safetensors");
  auto file = std::make_shared<std::filesystem::path>();
  command->add_option("file", *file, "the file")->required();
  command->callback([=, &chosen] {
    chosen.run = [=] {
      const std::string kind = file->extension().string();
      if (kind == ".safetensors") {
        const io::SafeTensors content = io::read_safetensors(*file);
        for (const auto& [key, value] : content.metadata) std::puts(fmt::format("{}: {}", key, value).c_str());
        for (const auto& [name, array] : content.tensors) show(name, array);
      } else if (kind == ".npz") {
        const io::NpzReader reader(*file);
        for (const auto& name : reader.names()) {
          try {
            show(name, reader.read(name));
          } catch (const Error& e) {  // the official SMPL-X files hold objects that nobody needs
            std::puts(e.what());
          }
        }
      } else if (kind == ".npy") {
        show(file->filename().string(), io::read_npy(*file));
      } else if (kind == ".pth" || kind == ".pt" || kind == ".pkl") {
        show(io::read_pickle_or_torch_file(*file));
      } else if (kind == ".bvh") {
        const io::Bvh motion = io::read_bvh(*file);
        std::puts(fmt::format("{} joints, {} frames of {} numbers, {:.6g} s each", motion.joints.size(), motion.frame_count(), motion.channel_count,
                              motion.frame_time).c_str());
      } else if (kind == ".png" || kind == ".jpg" || kind == ".jpeg") {
        const io::Image image = kind == ".png" ? io::read_png(*file) : io::read_jpeg(*file);
        std::puts(fmt::format("{}x{}, {} channels", image.width, image.height, image.channels).c_str());
      } else {
        throw Error(ErrorKind::kConfig, file->string() +
            ": files of this kind are not read yet; .safetensors, .npz, .npy, .pth, .pt, .pkl, .png, .jpg and .bvh are");
      }
      return 0;
    };
  });
}

}  // namespace layeravatar::app
