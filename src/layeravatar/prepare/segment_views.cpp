#include "layeravatar/prepare/segment_views.h"

#include <fmt/format.h>

#include <algorithm>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/data/part_labels.h"
#include "layeravatar/data/scene_files.h"
#include "layeravatar/io/label_colours.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/io/obj.h"
#include "layeravatar/io/png.h"
#include "layeravatar/prepare/part_network.h"

namespace layeravatar::prepare {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void reject(const fs::path& file, const std::string& what) { throw Error(ErrorKind::kInput, file.string() + ": " + what); }

std::vector<std::string> pictures_in(const fs::path& folder) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == ".png") out.push_back(entry.path().stem().string());
  std::sort(out.begin(), out.end());
  return out;
}

// The picture beside the colours of its labels.
io::Image side_by_side(const io::Image& picture, const std::vector<std::uint8_t>& labels) {
  io::Image out{2 * picture.width, picture.height, 3, {}};
  out.pixels.reserve(6 * labels.size());
  const auto width = static_cast<std::size_t>(picture.width), channels = static_cast<std::size_t>(picture.channels);
  for (std::size_t y = 0; y < static_cast<std::size_t>(picture.height); ++y) {
    for (std::size_t x = 0; x < width; ++x)
      for (std::size_t c = 0; c < 3; ++c) out.pixels.push_back(picture.pixels[(y * width + x) * channels + c]);
    for (std::size_t x = 0; x < width; ++x)
      for (const auto value : io::kLabelColours[labels[y * width + x]]) out.pixels.push_back(value);
  }
  return out;
}

void write_classes(const fs::path& folder, const std::string& name, const io::Image& picture, const std::vector<std::int64_t>& classes,
                   const std::vector<std::uint8_t>& labels) {
  io::write_npy(folder / (name + "_seg.npy"), io::make_array<std::int64_t>({picture.height, picture.width}, classes));
  io::Array person = io::make_array(io::DType::kBool, {picture.height, picture.width});
  std::transform(classes.begin(), classes.end(), person.data.begin(), [](auto id) { return std::byte{id > 0}; });
  io::write_npy(folder / (name + ".npy"), person);
  io::write_png(folder / (name + ".png"), side_by_side(picture, labels), 1);
}

// At the edge of the silhouette pixel centres see no surface: the label of a pixel beside it, or else its own.
std::uint8_t label_beside(const std::vector<std::uint8_t>& labels, int width, std::size_t pixel, std::uint8_t own) {
  const int x = static_cast<int>(pixel) % width, y = static_cast<int>(pixel) / width, height = static_cast<int>(labels.size()) / width;
  for (const auto& [dx, dy] : {std::pair(-1, 0), {1, 0}, {0, -1}, {0, 1}, {-1, -1}, {1, -1}, {-1, 1}, {1, 1}}) {
    if (x + dx < 0 || x + dx >= width || y + dy < 0 || y + dy >= height) continue;
    if (const auto label = labels[static_cast<std::size_t>((y + dy) * width + x + dx)]; label > 0) return label;
  }
  return own;
}

io::Image times(const std::vector<std::uint8_t>& labels, int width, int height, int factor) {
  io::Image out{width, height, 3, {}};
  out.pixels.reserve(3 * labels.size());
  for (const auto label : labels) out.pixels.insert(out.pixels.end(), 3, static_cast<std::uint8_t>(label * factor));
  return out;
}

}  // namespace

ViewFolders find_views(const fs::path& scan) {
  for (const auto& [root, image] : {std::pair("18views_3_wbg", "image"), std::pair("18views_3", "render")}) {
    ViewFolders out{scan / root, scan / root / image, scan / root / "calib", {}};
    out.names = pictures_in(out.image);
    if (!out.names.empty()) return out;
  }
  reject(scan, "expected views in 18views_3_wbg/image, found 0");
}

std::vector<std::string> scans_with_views(const fs::path& root) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root, error))
    if (entry.path().extension() != ".partial" && (fs::is_directory(entry.path() / "18views_3_wbg/image") || fs::is_directory(entry.path() / "18views_3/render")))
      out.push_back(entry.path().filename().string());
  if (error) reject(root, "cannot open: " + error.message());
  if (out.empty()) reject(root, "no folder with 18views_3_wbg/image in it; run render-scans first");
  std::sort(out.begin(), out.end());
  return out;
}

bool has_masks(const ViewFolders& views) {
  return std::all_of(views.names.begin(), views.names.end(), [&](const std::string& name) {
    return fs::exists(views.root / "seg" / (name + "_0.png")) && fs::exists(views.root / "seg" / (name + "_1.png"));
  });
}

std::vector<std::uint8_t> read_label_image(const fs::path& file, int width, int height) {
  const io::Image image = io::read_png(file);
  if (image.width != width || image.height != height)
    reject(file, fmt::format("expected {}x{}, found {}x{}", width, height, image.width, image.height));
  const auto channels = static_cast<std::size_t>(image.channels), colours = std::min<std::size_t>(channels, 3);
  std::vector<std::uint8_t> out;
  out.reserve(image.pixels.size() / channels);
  for (std::size_t i = 0; i < image.pixels.size(); i += channels) {
    const std::uint8_t label = image.pixels[i];
    if (label > 5) reject(file, fmt::format("expected a label image of values 0..5, found {}", label));
    for (std::size_t c = 1; c < colours; ++c)
      if (image.pixels[i + c] != label) reject(file, "expected a label image, grey or of equal channels; found colours");
    out.push_back(label);
  }
  return out;
}

Surface read_surface(const fs::path& meshes, const std::string& id, scan::ScanSet set, const fs::path& fits, bool refined, const body::BodyModel* model) {
  if (const fs::path bare = meshes / (id + ".obj"); fs::exists(bare)) {
    io::ObjMesh mesh = io::read_obj(bare, {.uvs = false});
    return {std::move(mesh.vertices), std::move(mesh.triangles), {}};
  }
  const auto read = std::make_shared<scan::ScanMesh>(scan::read_normalised(scan::scan_files(meshes, set, fits, refined, id), set, model).mesh);
  return {read->vertices, read->triangles, [read](std::size_t triangle, const auto& barycentric) { return scan::is_hole(*read, triangle, barycentric); }};
}

SegmentReport segment_views(const fs::path& scan, const SegmentOptions& options) {
  const ViewFolders views = find_views(scan);
  SegmentReport report;
  report.views = static_cast<int>(views.names.size());
  make_folder(views.root / "mask");
  std::vector<std::vector<std::uint8_t>> labels(views.names.size());
  std::vector<std::pair<int, int>> sizes(views.names.size());
  const std::size_t step = options.network != nullptr ? static_cast<std::size_t>(options.network->batch()) : 1;
  std::vector<io::Image> silhouettes(views.names.size());  // kept as one channel of alpha
  for (std::size_t first = 0; first < views.names.size(); first += step) {
    const std::size_t count = std::min(step, views.names.size() - first);
    std::vector<io::Image> pictures;
    for (std::size_t i = 0; i < count; ++i) {
      const fs::path file = views.image / (views.names[first + i] + ".png");
      pictures.push_back(io::read_png(file));
      if (pictures[i].channels != 4) reject(file, "image has no alpha channel; cannot find the silhouette");
      if (pictures[i].width != pictures[i].height) reject(file, fmt::format("expected a square picture, found {}x{}", pictures[i].width, pictures[i].height));
    }
    std::vector<std::vector<std::int64_t>> classes;
    if (options.network != nullptr) classes = options.network->classes(pictures);
    for (std::size_t i = 0; i < count; ++i) {
      const std::string& name = views.names[first + i];
      const io::Image& picture = pictures[i];
      auto& mine = labels[first + i];
      sizes[first + i] = {picture.width, picture.height};
      if (options.network != nullptr) {
        std::int64_t beyond = 0;
        for (const auto id : classes[i]) {
          mine.push_back(data::label_of_class(id));
          beyond += id >= data::kPartClasses ? 1 : 0;
        }
        if (beyond > 0) report.warnings.push_back(fmt::format("{}: {} pixels have class ids above {}", name, beyond, data::kPartClasses - 1));
        if (options.keep_classes) write_classes(views.root / "mask", name, picture, classes[i], mine);
      } else if (!options.labels.empty()) {
        mine = read_label_image(options.labels / (name + ".png"), picture.width, picture.height);
      } else {
        data::PartLabels read = data::read_part_classes(views.root / "mask" / (name + "_seg.npy"), picture.width);
        mine = std::move(read.labels);
        report.warnings.insert(report.warnings.end(), read.warnings.begin(), read.warnings.end());
      }
      data::cut_to_silhouette(mine, picture, (views.image / (name + ".png")).string());
      io::Image& alpha = silhouettes[first + i];
      alpha = {picture.width, picture.height, 4, std::vector<std::uint8_t>(picture.pixels.size(), 0)};
      for (std::size_t p = 3; p < picture.pixels.size(); p += 4) alpha.pixels[p] = picture.pixels[p];
      if (options.surface == nullptr) alpha = {};
    }
  }
  if (options.surface != nullptr) {
    std::vector<LabelledView> seen(labels.size());
    for (std::size_t v = 0; v < labels.size(); ++v) {
      const fs::path file = views.calibration / (views.names[v] + ".json");
      seen[v] = {geometry::cameras_at(geometry::parse_cam_param(read_file(file), file.string(), 1), sizes[v].first)[0], labels[v]};
    }
    auto fused = fuse_labels(*options.surface, seen, options.fuse);
    std::int64_t labelled = 0, changed = 0, beside = 0;
    for (std::size_t v = 0; v < labels.size(); ++v) {
      const auto inner = fused[v];
      for (std::size_t p = 0; p < inner.size(); ++p)
        if (inner[p] == 0) fused[v][p] = label_beside(inner, sizes[v].first, p, labels[v][p]);
      data::cut_to_silhouette(fused[v], silhouettes[v], views.names[v]);
      for (std::size_t p = 0; p < inner.size(); ++p) {
        labelled += labels[v][p] > 0 || fused[v][p] > 0 ? 1 : 0;
        changed += fused[v][p] != labels[v][p] ? 1 : 0;
        beside += labels[v][p] > 0 && inner[p] == 0 ? 1 : 0;
      }
    }
    if (2 * beside > labelled) reject(scan, "less than half of the labels lie on the mesh; is it in another frame than the views?");
    report.changed = labelled > 0 ? static_cast<double>(changed) / static_cast<double>(labelled) : 0;
    labels = std::move(fused);
  }
  make_folder(views.root / "new_mask");
  make_folder(views.root / "new_mask_viz");
  AtomicFolder seg(views.root / "seg");
  for (std::size_t v = 0; v < labels.size(); ++v) {
    const auto [width, height] = sizes[v];
    const std::string& name = views.names[v];
    io::write_png(views.root / "new_mask" / (name + ".png"), times(labels[v], width, height, 1), 1);
    io::write_png(views.root / "new_mask_viz" / (name + ".png"), times(labels[v], width, height, 50), 1);
    const auto masks = data::format_masks(labels[v], width, height, 1);
    seg.write(name + "_0.png", masks[0]);
    seg.write(name + "_1.png", masks[1]);
  }
  seg.commit_over();
  return report;
}

}  // namespace layeravatar::prepare
